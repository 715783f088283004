"""`unseen serve`: a pipeline with erasers behind HTTP."""
