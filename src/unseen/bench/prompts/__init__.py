"""What is asked of the video model: evaluation prompts by role, other words, attacks."""
