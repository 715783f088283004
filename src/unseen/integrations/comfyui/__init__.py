"""Nodes for ComfyUI. Nothing here imports ComfyUI: its objects come in through the nodes."""
