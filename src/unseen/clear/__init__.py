"""CLEAR: find the layer where a concept is separable, learn sparse features there, subtract the concept's own ones."""
