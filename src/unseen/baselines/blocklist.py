"""A list of forbidden words: every name in the prompt gives way to a word that names nothing. No model is asked.

What any method has to beat: it costs nothing, and where prompts say the name it is perfect. It knows nothing of other
words, of languages, or of what a word means in its place ("a horn" of a cow).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from ..concept import Concept
from .base import Baseline, FittedBaseline, nothing_to_learn
from .encoding import Between, prompts_of

_STAND_INS = {"object": "thing", "identity": "a person", "style": "an artist", "attribute": ""}
_ARTICLE = re.compile(r"\b(an?)(\s+)(\w)", re.IGNORECASE)


def without_names(prompt: str, concepts: Sequence[Concept]) -> str:
    """The prompt with every name, in singular or plural and upper or lower case, replaced."""
    for concept in concepts:
        for name in sorted(concept.names, key=len, reverse=True):
            pattern = rf"(?<!\w){re.escape(name)}(e?s)?(?!\w)"
            prompt = re.sub(pattern, _stand_in(concept), prompt, flags=re.IGNORECASE)
    return _ARTICLE.sub(_with_article, re.sub(r"  +", " ", prompt)).strip()


def _stand_in(concept: Concept) -> Callable[[re.Match[str]], str]:
    word = _STAND_INS[concept.kind]
    return lambda match: word + ("s" if match[1] and concept.kind == "object" else "")


def _with_article(match: re.Match[str]) -> str:
    """ "an thing" → "a thing"; an article's case is kept."""
    return f"{match[1][0]}{'n' if match[3].lower() in 'aeiou' else ''}{match[2]}{match[3]}"


def put_on(pipe: Any, fitted: FittedBaseline, stack: ExitStack) -> Between:
    """Replace the names in every prompt; negative prompts stay as they are."""

    def around(encode: Callable[..., Any], options: dict[str, Any]) -> Any:
        cleaned = [without_names(prompt, fitted.concepts) for prompt in prompts_of(options)]
        return encode(**{**options, "prompt": cleaned[0] if isinstance(options["prompt"], str) else cleaned})

    return Between(around, "the blocklist")


BLOCKLIST = Baseline("blocklist", {}, nothing_to_learn, put_on, text_only=True)
