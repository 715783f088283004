"""What holds here and now. Calls and choices are one thread's or task's own; proofs are known to the whole process.

Read `call`, what one call to a pipeline is doing; `proofs`, which embeddings have passed which erasers; `erasers`,
which of them act and what they do to a pass of a text encoder.
"""
