"""Clips: what names one, who draws it, where it is kept."""
