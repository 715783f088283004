"""What the field compares with CLEAR, each from its equations, on stock pipelines, behind one protocol.

`BASELINES[name].fit(pipe, concepts, **settings)` gives a `FittedBaseline`, which `unseen.attach` puts on a pipeline.
"""

from __future__ import annotations

from .base import Baseline as Baseline
from .base import FittedBaseline as FittedBaseline
from .blocklist import BLOCKLIST
from .cgce import CGCE
from .concept_steerer import CONCEPT_STEERER
from .negative_prompt import NEGATIVE_PROMPT
from .none import NONE
from .safree import SAFREE
from .t2v_unlearning import T2V_UNLEARNING
from .uce import UCE
from .video_eraser import VIDEO_ERASER

BASELINES_VERSION = 1
"""Goes up whenever the same arguments give another artefact of a baseline."""

BASELINES = {
    method.name: method
    for method in (NONE, BLOCKLIST, NEGATIVE_PROMPT, SAFREE, VIDEO_ERASER, T2V_UNLEARNING, CONCEPT_STEERER, CGCE, UCE)
}
"""By name. CLEAR itself is `unseen.fit`."""
