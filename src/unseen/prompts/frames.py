"""Ways to phrase a prompt about a concept, by the use of its name (`unseen.prompts.usage`).

Slots: {x} the name, or what stands in its place; {thing} a carrier without its article; {other}, {other2} and {person}
with theirs; {place}, {action}, {medium}, {work} (a medium with its
article), {adjective}, {look} (one that pictures have).
"""

from __future__ import annotations

from . import lexicon


def _split(text: str, separator: str = ",") -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split(separator))


PERSON_ACTIONS = _split(
    """
    walking slowly; turning around; looking into the camera; waving; sitting down; standing still; talking to a friend;
    seen from behind; in slow motion; coming closer; laughing; getting up; leaning on a rail; reading a letter
    """,
    ";",
)
OUTDOORS = _split(
    """
    at sunset; in thick fog; in bright sunshine; in the rain; at night; on a winter morning; under a cloudy sky;
    seen from across the water; behind some trees; in early spring; seen from a rooftop; after a thunderstorm
    """,
    ";",
)
LANDMARKS = _split(
    "castle, bridge, windmill, water tower, palace, temple, statue, skyscraper, fountain, mosque, pagoda, cottage, barn"
)
THEMES = _split(
    """
    cooking, gardening, friendship, kindness, fishing, knitting, everyday work, a dinner with friends, peace, farming,
    sailing, a quiet evening, hospitality, a guitar lesson, carpentry, a picnic, a garden party, good news, housework,
    harmony
    """
)
CLOTHES = _split(
    "a scarf, a jacket, gloves, boots, a shirt, a dress, a coat, socks, an apron, a raincoat, sandals, trousers, a belt"
)
FEATURES = _split(
    "an umbrella, a suitcase, freckles, a backpack, broad shoulders, a walking stick, a friendly face, a basket"
)
ACTIVITIES = _split(
    "walking, singing, reading, waving, writing, cooking, jogging, juggling, knitting, fishing, gardening, whistling"
)
SUBSTANCES = _split("mud, sand, dust, flour, paint, honey, snow, moss, sawdust, straw, gravel, chalk, soap, hay, jam")
AIRY = _split("mist, steam, dust, drizzle, confetti, snow, pollen, sunlight, haze, foam")
PEOPLE_ATTRIBUTES = _split(
    """
    tall, well-dressed, tired, cheerful, elegant, friendly, busy, calm, thoughtful, freckled, strong, quiet, sleepy,
    uniformed, polite, curious
    """
)
DEPICTIONS = _split("scene, film, photo, drawing, painting, video clip, poster, cartoon, story, picture, illustration")
DEPICTION_ATTRIBUTES = _split(
    "calm, cheerful, colorful, quiet, funny, short, peaceful, sunny, tender, slow, friendly, charming"
)

LOOKS = _split("tiny, large, old, new, square, round, dusty, clean, painted, folded")
"""Those of the lexicon's attributes that pictures have."""

PLURAL_TEMPLATES = tuple(t for t in lexicon.OBJECT_TEMPLATES if "there stands" not in t)
FIGURE_TEMPLATES = tuple(t for t in lexicon.OBJECT_TEMPLATES if "bought" not in t and "there" not in t)
PLACE_TEMPLATES = (
    "{x}",
    "{x} {place}",
    "a photo of {x} {place}",
    "a video of {x} {place}",
    "{place}, {x} and a few tourists",
    "a postcard of {x}",
    "{person} in front of {x} {place}",
    "a drone shot of {x} {place}",
    "look at {x} {place}",
    "{x}, {medium}",
    "{work} of {x} {place}",
    "the camera moves towards {x} {place}",
    "a time-lapse of {x} {place}",
    "{person} walking past {x}",
    "{x} in the distance, {other} in the foreground",
    "somebody filmed {x} {place}",
    "a wide shot of {x} {place}, with soft light",
)
LOOK_TEMPLATES = (
    "{other} in the style of {x}",
    "{other} {place} in the style of {x}",
    "{other} {place}, {x}",
    "{other}, {x}",
    "{other} {action}, {x} style",
    "{other} in {x} style",
    "a picture of {other} in {x} style",
    "{x} style, {other} {action}",
    "{x}, {other} {place}",
    "a film in {x} style showing {other} {place}",
    "{other} {place}, {x} style",
    "{other} and {other2}, {x} style",
    "an artwork in {x} style showing {other} {place}",
    "{person} {place} in {x} style",
)
THEME_TEMPLATES = (
    "{x}",
    "a scene of {x}",
    "a scene of {x} {place}",
    "a film scene with {x}",
    "a video of {x} {place}",
    "a film about {x}",
    "a photo showing {x} {place}",
    "{work} showing {x}",
    "{person} in a scene of {x} {place}",
    "{person} {place}, a scene of {x}",
    "some footage shows {x} {place}",
    "a story of {x}",
    "a movie still showing {x} {place}",
    "a clip about {x} with {person}",
    "{person} {action}, a film about {x}",
)
WORN_TEMPLATES = (
    "{x}",
    "a {thing} wearing {x}",
    "a {thing} wearing {x} {place}",
    "a {thing} with {x} {place}",
    "a photo of a {thing} wearing {x} {place}",
    "a video of a {thing} wearing {x}, {action}",
    "the {thing} is wearing {x}",
    "a {thing} wearing {x} next to {other}",
    "{other} and a {thing} wearing {x} {place}",
    "close-up of a {thing} wearing {x}",
    "{work} of a {thing} wearing {x}",
    "somebody filmed a {thing} wearing {x} {place}",
    "a {thing} putting on {x} {place}",
    "there is a {thing} wearing {x} {place}",
)
FEATURE_TEMPLATES = (
    "{x}",
    "a {thing} with {x}",
    "a {thing} with {x} {place}",
    "a photo of a {thing} with {x} {place}",
    "a video of a {thing} with {x}, {action}",
    "the {thing} has {x}",
    "a {thing} with {x} next to {other}",
    "{other} and a {thing} with {x} {place}",
    "close-up of a {thing} with {x}",
    "{work} of a {thing} with {x}",
    "somebody filmed a {thing} with {x} {place}",
    "there is a {thing} with {x} {place}",
)
ACTIVITY_TEMPLATES = (
    "{x}",
    "a {thing} {x}",
    "a {thing} {x} {place}",
    "a {thing} is {x} {place}",
    "a photo of a {thing} {x} {place}",
    "a video of a {thing} {x}",
    "the {thing} is {x}",
    "two people {x} {place}",
    "close-up of a {thing} {x}",
    "{other} and a {thing} {x} {place}",
    "{work} of a {thing} {x}",
    "somebody filmed a {thing} {x} {place}",
    "a {thing} who is {x} {place}",
    "a {x} {thing} {place}",
)
SUBSTANCE_TEMPLATES = (
    "{x}",
    "{x} {place}",
    "a photo of {x} {place}",
    "a video of {x} {place}",
    "close-up of {x}",
    "a {thing} covered in {x}",
    "a {thing} covered in {x} {place}",
    "a {thing} surrounded by {x}",
    "{x} around a {thing} {place}",
    "the {thing} is covered in {x}",
    "{x} next to {other} {place}",
    "{work} of {x} {place}",
    "a lot of {x} {place}",
    "{person} looking at {x} {place}",
    "a photo of a {thing} covered in {x} {place}",
)
AIRY_TEMPLATES = tuple(dict.fromkeys(t.replace("covered in", "surrounded by") for t in SUBSTANCE_TEMPLATES))
PEOPLE_TEMPLATES = tuple(t.replace(" that is ", " who is ") for t in lexicon.ATTRIBUTE_TEMPLATES)
DEPICTION_TEMPLATES = (
    "a {x} {thing}",
    "a {x} {thing} {place}",
    "the {thing} is {x}",
    "a {thing} that is {x}",
    "a {x} {thing} with {person}",
    "a {x} {thing} showing {person} {place}",
    "a {x} {thing} about {person}",
    "a frame from a {x} {thing}",
    "{person} in a {x} {thing}",
    "a {thing} with {person}, {x}",
    "{x}",
)
