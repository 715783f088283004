"""Tiny pipelines of many families."""

from unseen.bench.ways.families import make_cogvideox, make_small_diorama, make_text_part, make_wan

__all__ = ["make_cogvideox", "make_small_diorama", "make_text_part", "make_wan"]
