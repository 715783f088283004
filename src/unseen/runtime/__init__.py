"""What acts while a pipeline runs.

What users touch lies here: `attach` puts erasers on, `handle` is what it returns, `habits` loads and switches them as
adapters are, `embeddings` carry their proof, `audit` and `watch` tell of what was done. Below are three rooms. Each may
import those that follow it, and none that comes before:

- `chokepoints`: every way to the denoiser leads through them, and nothing passes that no eraser has seen
- `rewriting`: what becomes of a prompt's words before it is encoded
- `context`: what holds here and now: the call under way, the erasers that act in it, what has passed them
"""
