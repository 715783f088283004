"""Measures on generated clips: rates with intervals, motion, what appears instead, pixel difference."""
