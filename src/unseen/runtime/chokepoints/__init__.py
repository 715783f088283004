"""Where nothing passes unedited."""
