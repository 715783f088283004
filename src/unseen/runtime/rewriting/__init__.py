"""What becomes of the words of a prompt before it is encoded."""
