"""Scores for folders of videos, whoever made them: files in, one table of rows out."""
