"""What holds here and now."""
