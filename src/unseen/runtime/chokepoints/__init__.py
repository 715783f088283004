"""Two places that nothing passes unless the erasers have seen it: the text encoder and the denoiser.

Read `interception`, which comes between a pipeline and its parts; then the text encoder's `guard`, with `options`, what
`encode_prompt` is asked for; then `denoiser`, with `rows`, whose text it is given, and `readers`, which components are
checked.
"""
