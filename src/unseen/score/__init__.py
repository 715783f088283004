"""Scores for folders of videos, whoever made them: files in, one table of rows out."""

from __future__ import annotations

from unseen.score.run import Scores, score_folder

__all__ = ["Scores", "score_folder"]
