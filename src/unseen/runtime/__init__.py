"""What acts while a pipeline runs."""
