"""The one place that knows in what pipelines differ."""

from __future__ import annotations

from .backbone import BACKBONES as BACKBONES
from .backbone import Backbone as Backbone
from .backbone import backbone_of as backbone_of
from .backbone import cleaned as cleaned
from .backbone import denoisers as denoisers
from .loading import load as load
from .modular import ModularText as ModularText
from .preview import call_length as call_length
from .preview import can_preview as can_preview
from .preview import cannot_preview as cannot_preview
from .preview import default_length as default_length
from .preview import encode_texts as encode_texts
from .preview import preview as preview
from .preview import preview_length as preview_length
from .preview import weights_state as weights_state
from .protocol import adapted as adapted
from .text_path import TextPath as TextPath
from .text_path import text_encoders as text_encoders
from .text_path import text_path as text_path
from .text_path import text_paths as text_paths
