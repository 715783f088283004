"""Text encoders: where their layers are, the one hook that reads and edits them, what was read, whose weights."""
