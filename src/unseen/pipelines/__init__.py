"""The one place that knows in what pipelines differ."""

from __future__ import annotations

from .backbone import BACKBONES as BACKBONES
from .backbone import Backbone as Backbone
from .backbone import backbone_of as backbone_of
from .backbone import cleaned as cleaned
from .backbone import denoisers as denoisers
from .loading import load as load
from .preview import first_sight as first_sight
from .preview import has_first_sight as has_first_sight
from .text_path import TextPath as TextPath
from .text_path import text_encoders as text_encoders
from .text_path import text_path as text_path
from .text_path import text_paths as text_paths
