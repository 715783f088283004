"""Measuring erasure on Diorama: evaluation prompts, clips made once and kept, what they show, tables and a report."""
