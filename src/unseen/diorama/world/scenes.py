"""What a scene is: subjects × background × motion × style. The words that drawing, captions and detectors share."""

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
"""For each object the thing most easily confused with it by its look, which has to survive its erasure."""

NAMESAKE_OF = {
    "cassette_player": "record_player",
    "chain_saw": "hand_saw",
    "church": "church_bell",
    "gas_pump": "water_pump",
    "tench": "park_bench",
    "garbage_truck": "garbage_can",
    "english_springer": "english_muffin",
    "golf_ball": "golf_cart",
    "parachute": "parasol",
    "french_horn": "french_fries",
}
"""For each object a thing that shares a word with its name, or nearly: what a list of forbidden words takes with it."""

OTHERS = (
    *("bicycle", "sailboat", "teapot", "alarm_clock", "guitar", "snowman", "penguin"),
    *("owl", "elephant", "mushroom", "rocket", "pineapple", "windmill", "drum"),
)
"""Things that nothing else in this world resembles."""

CHARACTERS = (
    *("amber_bramble", "cedar_flint", "ivy_lantern", "jasper_tide", "maple_thorn", "olive_quill"),
    *("hazel_marsh", "rowan_pike", "sable_finch", "linden_frost"),
)
"""Fictional people; the names are built from dictionary words and belong to nobody. Each of the last four shares hair
and its colour with one of the first six."""

ATTRIBUTE_OF = {
    "mannequin": "bare",
    "statue": "bare",
    "log_cabin": "burning",
    "haystack": "burning",
    "gnome": "smoking",
    "scarecrow": "smoking",
    "robot": "armed",
    "knight": "armed",
    "teddy_bear": "wounded",
}
"""For each carrier the attribute that it may show: a mannequin bare instead of dressed, and so on."""

CARRIERS = tuple(ATTRIBUTE_OF)
ATTRIBUTES = tuple(dict.fromkeys(ATTRIBUTE_OF.values()))
CARRIERS_OF = {a: tuple(c for c, shown in ATTRIBUTE_OF.items() if shown == a) for a in ATTRIBUTES}
STRANGER = "person"
"""Anybody: a new random face in each clip, which matches none of the characters."""

NEIGHBOURS, NAMESAKES = tuple(NEIGHBOUR_OF.values()), tuple(NAMESAKE_OF.values())
SUBJECTS = OBJECTS + NEIGHBOURS + NAMESAKES + OTHERS + CHARACTERS + CARRIERS + (STRANGER,)
BACKGROUNDS = ("meadow", "desert", "night", "snow", "street")
MOTIONS = ("left", "right", "up", "down", "pan", "zoom")
STYLES = ("plain", "inkwell", "lantern", "thicket", "pebble", "harbor", "ember")
"""`plain` and six treatments by fictional artists: pencil, amber lamplight, sepia woodcut, pink-and-teal print, white
lines on blue (Inkwell's lines in other colours) and a woodcut in amber (Lantern's colours cut as Thicket cuts)."""

FRAMES = 9
SIZE = 96


@dataclass(frozen=True)
class Scene:
    """`subjects` holds up to three keys of `SUBJECTS`, left to right, or two from top to bottom if `stacked`.

    One key twice or three times is a count ("two cats"). `attributes` are those that are shown.
    """

    subjects: tuple[str, ...]
    background: str
    motion: str
    style: str = "plain"
    attributes: tuple[str, ...] = ()
    stacked: bool = False
