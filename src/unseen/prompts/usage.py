"""How a word is used in a prompt: "burning" stands before a thing, "glasses" are worn, a scene shows "violence".

Decided by word lists and by the shape of the word; where they are wrong, the use can be given (`write_prompts(use=)`),
or the phrases themselves (`unseen.prompts.pack`).
"""

from __future__ import annotations

import re
from typing import Literal

from . import articles, lexicon

Use = Literal[
    "property", "worn", "feature", "activity", "substance", "theme", "artist", "look", "thing", "place", "figure"
]
"""What a name is in its prompts. Attributes are a "property" of a carrier ("burning", "on fire"), "worn" ("glasses"), a
"feature" ("red hair"), an "activity" ("smoking"), a "substance" ("blood") or a "theme" ("violence"); styles are an
"artist" or a "look" ("pixel art"); objects are a "thing", a "place" ("Eiffel Tower") or a "figure" ("Mickey Mouse")."""

USES: dict[str, tuple[Use, ...]] = {
    "object": ("thing", "place", "figure"),
    "identity": ("figure",),
    "style": ("artist", "look"),
    "attribute": ("property", "worn", "feature", "activity", "substance", "theme"),
}
"""The uses that names of each kind of concept may have."""

Carrier = Literal["things", "people", "depictions"]

_WORN = frozenset(
    """
    apron armor bandana bikini blindfold boots bra burqa cap cape clothing coat costume crown dress earrings eyeglasses
    gloves glasses goggles handcuffs hat headphones headscarf helmet hijab hoodie jacket jeans jewelry kimono leather
    lingerie lipstick makeup mask necklace pajamas sandals scarf shoes shorts skirt socks spectacles suit sunglasses
    sweater swimsuit swimwear tattoo tattoos tie trousers turban tuxedo underwear uniform veil watch wig
    """.split()
) - {"tattoo", "tattoos", "leather"}
_ACTIVITIES = frozenset(
    """
    begging boxing brawling crying cycling dancing drinking eating fighting gambling hiking hugging jogging jumping
    kissing kneeling laughing praying running shooting shoplifting shouting singing skating skiing sleeping smoking
    snorting spitting stealing strangling stripping stabbing surfing sunbathing swearing swimming undressing vaping
    vomiting walking waving wrestling yelling
    """.split()
)
_SUBSTANCES = frozenset(
    """
    ash blood dirt dust fire flames fog foam graffiti grease honey ice lava mist moss mud oil paint rain rust sand slime
    smog smoke snow soot steam sweat vomit water
    """.split()
)
_FEATURES = frozenset(
    """
    antlers arms beard breasts cigar cigarette ears eyes eyebrows face feet freckles fur gun hair hands haircut
    hairstyle
    horns knife legs lips moustache mustache nails nose rifle scar scars skin smile sword tail tattoo tattoos teeth
    weapon wheelchair wings wrinkles
    """.split()
)
_THEMES = frozenset(
    """
    abuse arson blasphemy bloodshed bondage bullying carnage combat crime cruelty death disaster drugs erotica fraud
    gore genocide gun harassment hate hatred hentai horror incest kidnapping murder narcotics pain pollution porn
    pornography poverty propaganda rape riot riots robbery self-harm self-injury sex shock slaughter slavery stalking
    suicide surgery terror theft torture trafficking vandalism war warfare weapons weaponry
    """.split()
) - {"gun"}
_THEME_HEADS = frozenset(
    """
    abuse acts activity attack behavior content conflict crime cruelty fighting footage harm hatred imagery information
    material misinformation misuse scene scenes speech use violence wrestling
    """.split()
)
_THEME_ENDINGS = ("ity", "ness", "ence", "ance", "ism", "tion", "sion", "ment", "cide", "phobia", "ship", "graphy")
_OF_PEOPLE = frozenset(
    """
    angry armed bald barefoot bearded blond blonde chubby clothed crying disabled drunk elderly exhausted female
    grinning handcuffed injured intoxicated kneeling laughing male masked muscular naked nude obese pregnant screaming
    seductive sexy shirtless smiling tattooed topless unclothed undressed wounded bare-chested half-naked
    """.split()
)
_OF_DEPICTIONS = frozenset(
    """
    blasphemous disturbing erotic explicit frightening gory graphic gruesome hateful indecent lewd nsfw obscene
    pornographic racist sexist sexual shocking violent
    """.split()
)
_MOVEMENTS = frozenset(
    """
    anime baroque bauhaus chiaroscuro claymation cottagecore cyberpunk gothic grisaille lo-fi manga noir rococo
    steampunk synthwave ukiyo-e vaporwave
    """.split()
)
_LOOK_HEADS = frozenset("art style deco nouveau noir animation photography painting realism sketch print".split())
_HUMAN = frozenset(text.split()[-1] for text in lexicon.PEOPLE) | frozenset(
    "person people men women adult adults crowd child children baby boy girl teenager prisoner politician".split()
)
_BEHIND = re.compile(
    r"(?:on|in|with|without|under|at|made|covered|wearing|holding|full|being|having|made|of)\b|\w{3,}(?:ed|ly) "
)


def use_of(name: str, kind: str) -> Use:
    """How `name` of a concept of `kind` is used in prompts."""
    if kind == "identity":
        return "figure"
    if kind == "style":
        words = name.lower().split()
        look = (
            not name[:1].isupper() or words[-1] in _LOOK_HEADS or words[-1] in _MOVEMENTS or words[-1].endswith("ism")
        )
        return "look" if look else "artist"
    if kind == "attribute":
        return _use_of_attribute(name.lower())
    if articles.is_place(name):
        return "place"
    if articles.head_of(name) in _HUMAN:
        return "figure"
    bare = articles.with_article(name, makes=True) == name and articles.number_of(name) == "singular"
    return "figure" if bare and articles.in_capitals(name) else "thing"


def _use_of_attribute(name: str) -> Use:
    if is_behind(name):
        return "property"
    head = articles.head_of(name)
    if name in _ACTIVITIES:
        return "activity"
    if head in _SUBSTANCES:
        return "substance"
    if name in _THEMES or head in _THEMES or (" " in name and head in _THEME_HEADS):
        return "theme"
    if head in _WORN:
        return "worn"
    if head in _FEATURES or head in lexicon.THINGS:
        return "feature"
    themed = (len(head) > 6 and head.endswith(_THEME_ENDINGS)) or articles.number_of(name) == "mass"
    if " " in name:
        return "property" if head.endswith("ed") else "theme"
    if themed:
        return "theme"
    return "feature" if articles.number_of(name) == "plural" else "property"


def is_behind(name: str) -> bool:
    """Whether an attribute can only follow its carrier: "on fire", "covered in mud"."""
    return " " in name and bool(_BEHIND.match(name))


def carrier_of(name: str, use: Use) -> Carrier:
    """What an attribute is put on. People are adults (`unseen.prompts.lexicon.PEOPLE`)."""
    words = set(name.lower().split())
    if use == "property" and words & _OF_DEPICTIONS:
        return "depictions"
    if use in ("property", "substance", "theme") and not words & _OF_PEOPLE:
        worn = re.match(r"(?:wearing|holding|having|being|without cloth|in the nude)", name.lower())
        return "people" if use == "property" and worn else "things"
    return "people"
