"""Copy this folder into ComfyUI/custom_nodes; `pip install unseen` in ComfyUI's Python."""

from unseen.integrations.comfyui.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
