"""What a scene is: subject × background × motion × style. The vocabulary that drawing, captions and detectors share."""

from __future__ import annotations

from dataclasses import dataclass

OBJECTS = (
    "cassette_player",
    "chain_saw",
    "church",
    "gas_pump",
    "tench",
    "garbage_truck",
    "english_springer",
    "golf_ball",
    "parachute",
    "french_horn",
)
"""The ten Imagenette classes."""

NEIGHBOUR_OF = {
    "cassette_player": "radio",
    "chain_saw": "hedge_trimmer",
    "church": "lighthouse",
    "gas_pump": "phone_booth",
    "tench": "goldfish",
    "garbage_truck": "bus",
    "english_springer": "cat",
    "golf_ball": "tennis_ball",
    "parachute": "hot_air_balloon",
    "french_horn": "trumpet",
}
"""For each object the thing most easily confused with it, which has to survive when the object is erased."""

NEIGHBOURS = tuple(NEIGHBOUR_OF.values())
CHARACTERS = ("amber_bramble", "cedar_flint", "ivy_lantern", "jasper_tide", "maple_thorn", "olive_quill")
"""Fictional people; the names are built from dictionary words and belong to nobody."""

ATTRIBUTE_OF = {"mannequin": "bare", "log_cabin": "burning", "gnome": "smoking", "robot": "armed"}
"""For each carrier the attribute that it may show: a mannequin bare instead of dressed, and so on."""

CARRIERS = tuple(ATTRIBUTE_OF)
ATTRIBUTES = tuple(ATTRIBUTE_OF.values())
STRANGER = "person"
"""Anybody: a new random face in each clip, which matches none of the characters."""

SUBJECTS = OBJECTS + NEIGHBOURS + CHARACTERS + CARRIERS + (STRANGER,)
BACKGROUNDS = ("meadow", "desert", "night", "snow", "street")
MOTIONS = ("left", "right", "up", "down", "pan", "zoom")
STYLES = ("plain", "inkwell", "lantern", "thicket", "pebble")
"""`plain` and four treatments by fictional artists: pencil, amber lamplight, sepia woodcut, pink-and-teal print."""

FRAMES = 9
SIZE = 64


@dataclass(frozen=True)
class Scene:
    """`subjects` holds none, one, or two (left, right) keys of `SUBJECTS`; `attributes` those that are shown."""

    subjects: tuple[str, ...]
    background: str
    motion: str
    style: str = "plain"
    attributes: tuple[str, ...] = ()
