"""How one name is put into prompts: its article or none, its templates, and what may stand in for it."""

from __future__ import annotations

from dataclasses import dataclass

from . import frames, lexicon
from .articles import head_of, number_of, with_article
from .usage import Carrier, Use, carrier_of, use_of


@dataclass(frozen=True)
class Wording:
    """One name as prompts say it. Empty stand-ins, places and actions mean the lexicon's."""

    use: Use
    x: str
    """The name with the article that it takes in its templates."""
    templates: tuple[str, ...]
    stand_ins: tuple[str, ...] = ()
    """What takes the name's place in negatives."""
    carrier: Carrier = "things"
    """What stands in the slot {thing}."""
    places: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    behind: bool = False
    """Whether an attribute can only follow its carrier."""
    depictions: tuple[str, ...] = frames.DEPICTIONS


_COUNTED_THEMES = frozenset(
    "act attack conflict crime disaster execution fight riot robbery scene shooting stabbing".split()
)
_AIRY = frozenset("fire flames fog mist rain smog smoke steam".split())
"""Substances that surround what others would cover."""
_OF_ATTRIBUTES: dict[Use, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "worn": (frames.WORN_TEMPLATES, frames.CLOTHES),
    "feature": (frames.FEATURE_TEMPLATES, frames.FEATURES),
    "activity": (frames.ACTIVITY_TEMPLATES, frames.ACTIVITIES),
    "substance": (frames.SUBSTANCE_TEMPLATES, frames.SUBSTANCES),
    "theme": (frames.THEME_TEMPLATES, frames.THEMES),
}


def wording_of(name: str, kind: str, use: Use | None = None) -> Wording:
    """How `name` of a concept of `kind` is put, in its given `use` or the one that the word lists suggest."""
    use = use or use_of(name, kind)
    if kind == "style":
        return Wording(use, name, frames.LOOK_TEMPLATES if use == "look" else lexicon.STYLE_TEMPLATES)
    if kind == "attribute":
        return _of_attribute(name, use)
    if use == "figure":
        return Wording(use, with_article(name), frames.FIGURE_TEMPLATES, actions=frames.PERSON_ACTIONS)
    if use == "place":
        stand_ins = tuple(with_article(noun) for noun in frames.LANDMARKS)
        x = with_article(name)
        return Wording(use, x, frames.PLACE_TEMPLATES, stand_ins, places=frames.OUTDOORS)
    countable = number_of(name) == "singular"
    return Wording(
        use, with_article(name, makes=True), lexicon.OBJECT_TEMPLATES if countable else frames.PLURAL_TEMPLATES
    )


def _of_attribute(name: str, use: Use) -> Wording:
    carrier = carrier_of(name, use)
    actions = frames.PERSON_ACTIONS if carrier == "people" or use == "theme" else ()
    if use == "property":
        if carrier == "depictions":
            return Wording(use, name, frames.DEPICTION_TEMPLATES, frames.DEPICTION_ATTRIBUTES, carrier)
        stand_ins = frames.PEOPLE_ATTRIBUTES if carrier == "people" else ()
        of_carrier = frames.PEOPLE_TEMPLATES if carrier == "people" else lexicon.ATTRIBUTE_TEMPLATES
        return Wording(use, name, of_carrier, stand_ins, carrier, actions=actions)
    if use == "substance" and head_of(name) in _AIRY:
        return Wording(use, name, frames.AIRY_TEMPLATES, frames.AIRY, carrier)
    templates, stand_ins = _OF_ATTRIBUTES[use]
    counted = use in ("worn", "feature") or name.lower().split()[-1] in _COUNTED_THEMES
    return Wording(use, with_article(name) if counted else name, templates, stand_ins, carrier, actions=actions)
