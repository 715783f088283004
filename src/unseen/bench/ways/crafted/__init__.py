"""Erasers on disk that somebody crafted or that were damaged: `python -m unseen.bench.ways.crafted`."""
