"""Erasers in other people's interfaces and servers: ComfyUI, a server of our own, vLLM-Omni, SGLang."""
