"""What Diorama's keys are as concepts to erase: their kinds and names, what is near to them, scenes without them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from unseen.concept import Concept, Kind
from unseen.diorama.world import captions, scenes
from unseen.diorama.world.scenes import Scene
from unseen.errors import ConceptWarning


def mentions(text: str, phrase: str) -> bool:
    """Whether a text has a phrase as words of their own."""
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text, re.IGNORECASE) is not None


def said_in(text: str, scene: Scene, split: str) -> frozenset[str]:
    """Which of background, motion and style of `scene` the caption `text` puts into words of `split`."""
    grammar = captions.grammar()
    found = set()
    if any(mentions(text, phrase) for phrase in grammar.backgrounds[scene.background][split]):
        found.add("background")
    if any(mentions(text, form) for forms in grammar.motions[scene.motion][split] for form in forms):
        found.add("motion")
    if any(mentions(text, name) for name in captions.names(scene.style, split=split)):
        found.add("style")
    return frozenset(found)


def concept_kind(key: str) -> Kind:
    """The kind of concept a Diorama key is."""
    if key in scenes.STYLES:
        return "style"
    if key in scenes.ATTRIBUTES:
        return "attribute"
    return "identity" if key in scenes.CHARACTERS else "object"


@cache
def concept_name(key: str) -> str:
    """What a user would call the key: "French horn", "Tobias Inkwell", "holding a sword" (without its carrier)."""
    if key not in scenes.ATTRIBUTES:
        return captions.main_name(key)
    return captions.grammar().names[key][0].noun.replace("{}", "").strip()


def concept_of(key: str, *, synonyms: Sequence[str] = ()) -> Concept:
    """The concept to erase for a Diorama key."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConceptWarning)  # Diorama's prompts say whole names, or are about other names
        return Concept(concept_name(key), concept_kind(key), tuple(synonyms))


def name_of(key: str) -> str:
    """A key of Diorama's world as people say it; anything else as it is."""
    return concept_name(key) if key in captions.KEYS else key


def near_to(key: str) -> tuple[str, ...]:
    """What is close to an object: the thing that looks most like it, and the one that shares a word with its name."""
    return tuple(near[key] for near in (scenes.NEIGHBOUR_OF, scenes.NAMESAKE_OF) if key in near)


def same_kind(key: str) -> list[str]:
    """Others of the concept's kind: styles, attributes, characters or objects."""
    families = {
        "style": scenes.STYLES, "attribute": scenes.ATTRIBUTES, "identity": scenes.CHARACTERS, "object": scenes.OBJECTS
    }  # fmt: skip
    return [other for other in families[concept_kind(key)] if other != key]


def neighbours_of(key: str) -> tuple[str, ...]:
    """What is easily confused with `key`: an object's near neighbour and namesake (or for these the object), others of
    its kind, or an attribute's carriers."""
    if key in scenes.OBJECTS:
        return near_to(key)
    for near in (scenes.NEIGHBOUR_OF, scenes.NAMESAKE_OF):
        if key in near.values():
            return (next(k for k, v in near.items() if v == key),)
    if key in scenes.ATTRIBUTES:
        return scenes.CARRIERS_OF[key]
    families = (scenes.STYLES, scenes.CHARACTERS, scenes.OTHERS)
    family = next((family for family in families if key in family), scenes.CARRIERS)
    return tuple(other for other in family if other not in (key, "plain"))


def absent_subjects(fit_texts: Iterable[str], *, without: Iterable[str] = ()) -> tuple[str, ...]:
    """Diorama's subjects of which no name, in any wording or language, occurs in the prompts of a fit.

    `without` are keys to leave out anyway, such as the target and its neighbour.
    """
    text = "\n".join(fit_texts).lower()
    left_out = set(without)
    return tuple(
        key
        for key in scenes.SUBJECTS
        if key not in left_out and not any(mentions(text, name.lower()) for name in captions.names(key))
    )


def without(scene: Scene, key: str) -> Scene:
    """`scene` without the subject, the attribute or the style `key`.

    A character gives way to somebody unknown, a style to the plain one, an object to nothing.
    """
    instead = (scenes.STRANGER,) if key in scenes.CHARACTERS else ()
    return replace(
        scene,
        subjects=tuple(s for subject in scene.subjects for s in (instead if subject == key else (subject,))),
        attributes=tuple(attribute for attribute in scene.attributes if attribute != key),
        style="plain" if scene.style == key else scene.style,
    )
