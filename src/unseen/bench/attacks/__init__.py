"""Attacks: ways to ask an edited model for the concept, each with a budget and a seed."""
