"""CLEAR: find the block where a concept is separable, learn sparse features there, subtract the concept's own ones."""
