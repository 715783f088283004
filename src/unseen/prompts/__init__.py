"""The prompts that a fit is made of, and the words they are made from."""
