"""Which article an English noun takes: "a piano", "an hour", "the Eiffel Tower", or none, as "water" and "glasses".

A table of our own and a few rules. Nouns that neither knows are taken to be countable and singular.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from . import lexicon as lexicon

Number = Literal["singular", "plural", "mass"]


def _names(text: str) -> frozenset[str]:
    return frozenset(" ".join(name.split()) for name in text.split(",")) - {""}


_MASS = frozenset(
    """
    abuse acid aggression air alcohol anger arson asbestos ash bacon bamboo beef beer bigotry blackmail blood bondage
    bread broccoli brutality bullying butter camouflage cannabis carnage cattle cheese chocolate clothing coal cocaine
    coffee combat concrete content cotton cream crime cruelty cutlery death debris decay discrimination dough dust
    electricity erotica exploitation extremism fentanyl fire flesh flour foam fog footage fraud fruit fur furniture
    gambling garbage gasoline glass glitter glue gold gore graffiti grass gravel hail hair harassment hate hatred hay
    heroin homicide honey horror humiliation ice imagery incest ink intimacy jewelry juice ketamine lace laundry lava
    leather lettuce lightning lingerie lipstick litter luggage machinery makeup malware marble marijuana meat medicine
    meth methamphetamine milk mist money moss mud murder music mustard nature nicotine oil opium oxygen pain paint paper
    pasta peace poison pollution popcorn porn pornography poverty propaganda rain rape rice rust sadism salt sand
    sarcasm self-harm self-injury self-mutilation sewage sex silk slavery slime smog smoke smoking snow soap soup
    spaghetti speech steam steel stalking starvation sugar suicide sunlight sunshine sweat swearing tea terror theft
    thunder tobacco toothpaste torture traffic trash trafficking underwear use vaping vandalism vegetation violence
    vodka vomit war warfare water weaponry weather weed wheat wine wood wool wreckage yarn news chess tennis chaos
    asparagus art architecture couture anime manga coca-cola pepsi haze drizzle nudity obscenity profanity vulgarity
    sexuality
    """.split()
)
_COUNTABLE_AFTER_A_WORD = frozenset("glass paper fire speech use".split())
"""Mass alone, countable with a word in front: "a wine glass"; unless the two are listed here."""
_MASS_NAMES = _names("stained glass, broken glass, hate speech, drug use, toilet paper, alcohol use, substance use")
_PLURAL = frozenset(
    """
    children men women people feet teeth mice geese oxen police genitalia skis
    """.split()
)
_SINGULAR_IN_S = frozenset(
    "alias atlas bias canvas christmas cosmos cyclops ethos gas lens pancreas rhinoceros series species pegasus bus"
    " texas menus".split()
)

_DEFINITE = _names(
    """
    taj mahal, mona lisa, white house, arc de triomphe, golden gate, sydney opera house, burj khalifa, forbidden city,
    sistine chapel, empire state building, chrysler building, last supper, starry night, joker, hulk, incredible hulk,
    grinch, terminator, mandalorian, little mermaid, space needle, death star, millennium falcon, smurfs, minions,
    pink panther, lion king, northern lights, moon, sun, milky way, pope, sphinx, colosseum, coliseum, kremlin, louvre,
    parthenon, acropolis, alhambra, capitol, pentagon, titanic, alps, himalayas, avengers, simpsons, beatles, batmobile,
    great pyramid, burj al arab
    """
)
"""Names that are said with "the", whatever they end in."""
_DEFINITE_HEADS = frozenset(
    """
    tower statue wall canal river ocean sea desert museum pyramid pyramids sphinx gate bridge mountains falls cathedral
    basilica temple building monument memorial needle arch buddha obelisk fountain
    """.split()
)
"""Names that end so, in capitals, are said with "the": "the Golden Gate Bridge"."""
_DEFINITE_BEFORE_OF = frozenset(
    """
    statue tower wall palace gate temple gulf bay isle bank museum church house lord king queen prince duke legend
    battle birth persistence city dome arch cathedral tomb hall valley pyramids bridge
    """.split()
)
"""Names "X of Y" that are said with "the": "the Statue of Liberty", but not "the Joan of Arc"."""
_BARE_PLACES = _names(
    """
    tower bridge, london bridge, buckingham palace, big ben, stonehenge, machu picchu, mount rushmore, mount fuji,
    mount everest, times square, notre-dame, notre dame, angkor wat, hagia sophia, petra, central park, niagara falls,
    sagrada familia, christ the redeemer, disneyland, hollywood, wall street, red square, neuschwanstein castle
    """
)
_BARE = _BARE_PLACES | _names(
    """
    mickey mouse, minnie mouse, donald duck, daffy duck, bugs bunny, peppa pig, iron man, spider-man, batman, superman,
    pikachu, godzilla, yoda, shrek, wall-e, chewbacca, r2-d2, c-3po, lady liberty, jupiter, mars,
    saturn, venus
    """
)
_PARTICLES = frozenset("of the and de la le du des da di del van von der den".split())
_BREEDS = frozenset(
    """
    retriever terrier husky shepherd bulldog hound spaniel setter pointer corgi dane mastiff collie pinscher schnauzer
    sheepdog bear tern cube switch phone watch bike truck flag warbler sparrow dragon coon fold blue shorthair rifle
    pistol tank wing coaster wheel console controller sedan beetle phantom
    """.split()
)
"""What names of breeds and makes end in, beside the things of the lexicon: "a Siberian Husky"."""
_COMMON = _BREEDS | {text.split()[-1] for text in (*lexicon.THINGS, *lexicon.PEOPLE)}
_PEOPLES = frozenset("european american african asian indian italian russian egyptian australian mexican".split())
_DETERMINERS = frozenset("a an the some any this that these those my your his her its our their no two three".split())

_AN = re.compile(r"(?:hour|honest|honou?r|heir|hors d|8|1[18](?!\d)|u(?:nin|nim|nid))", re.IGNORECASE)
_A = re.compile(
    r"(?:uni|eu|ewe|us[aeiu]|ut[eio]|ub[iq]|ukr|uku|ura|uri|ugand|u[-\d]|one\b|once\b|ouija)", re.IGNORECASE
)
_LETTERS = re.compile(r"(?:[A-Z]{2,3}|[A-Z](?=[-\d])|X)(?![A-Za-z])")
_SAID_AS_WORDS = frozenset("RAM ROM SIM LAN ZIP NES".split())
_remembered = lru_cache(maxsize=1 << 14)  # a fit asks for the same few hundred nouns, thousands of times


@_remembered
def indefinite(phrase: str) -> str:
    """ "an" where `phrase` begins with the sound of a vowel ("hour", "MRI scanner", "8-bit screen"), else "a"."""
    start = phrase.lstrip(" \"'(“‘")
    letters = _LETTERS.match(start)  # said one by one: "an SUV", "a UFO"
    if letters and letters[0] not in _SAID_AS_WORDS:
        return "an" if start[0] in "AEFHILMNORSX" else "a"
    if _AN.match(start):
        return "an"
    if _A.match(start):
        return "a"
    return "an" if start[:1].lower() in tuple("aeiouáàâäåæéèêëíîïóôöøœúû") else "a"


def head_of(noun: str) -> str:
    """The word that decides on number, in lower case: "cup" of "cup of coffee", "glass" of "wine glass"."""
    before = re.split(r" (?:of|in|on|with|for|at|from|by) ", noun, maxsplit=1)[0]
    return before.split()[-1].lower()


@_remembered
def number_of(noun: str) -> Number:
    """Whether `noun` is a singular that can be counted, a plural, or neither, as "water" is."""
    head = head_of(noun)
    if noun.lower() in _MASS_NAMES:
        return "mass"
    if head in _MASS:
        counted = head in _COUNTABLE_AFTER_A_WORD and head != noun.lower()
        return "singular" if counted else "mass"
    if head in _PLURAL:
        return "plural"
    if head.endswith("s") and not head.endswith(("ss", "us", "is")) and head not in _SINGULAR_IN_S and len(head) > 3:
        return "plural"
    if head.endswith(("ness", "ism")) and head not in ("witness", "harness", "prism", "wilderness", "organism"):
        return "mass"
    return "singular"


def in_capitals(noun: str) -> bool:
    """Whether every word of `noun` but particles begins with a capital letter, as in "Statue of Liberty"."""
    words = noun.split()
    return words[0][:1].isupper() and all(
        word[:1].isupper() or word in _PARTICLES or word[0].isdigit() for word in words
    )


def is_definite(noun: str) -> bool:
    """Whether `noun` is a name that is said with "the"."""
    lowered = noun.lower()
    if lowered in _BARE:
        return False
    if lowered in _DEFINITE:
        return True
    if not in_capitals(noun) or len(noun.split()) < 2:
        return False
    before, of, _ = lowered.partition(" of ")
    return before.split()[-1] in (_DEFINITE_BEFORE_OF if of else _DEFINITE_HEADS)


def is_place(noun: str) -> bool:
    """Whether `noun` is the name of a building or a sight: "Eiffel Tower", "Big Ben"."""
    return noun.lower() in _BARE_PLACES or (is_definite(noun) and in_capitals(noun))


@_remembered
def with_article(noun: str, *, makes: bool = False) -> str:
    """`noun` with the article it takes when it is first spoken of, if it takes one.

    Words in capitals are a proper name and stay bare ("Ada Brandt"). With `makes` they may be a breed or a make, as
    names of objects are: "a Ferrari", "a Siberian Husky", but "Mickey Mouse".
    """
    if noun.split()[0].lower() in _DETERMINERS:
        return noun
    if is_definite(noun):
        return f"the {noun}"
    if noun.lower() in _BARE or number_of(noun) != "singular":
        return noun
    common = noun.lower() in _PEOPLES or bool(_LETTERS.match(noun))
    if makes:
        common = common or len(noun.split()) == 1 or head_of(noun) in _COMMON
    if in_capitals(noun) and not common:
        return noun
    return f"{indefinite(noun)} {noun}"


def agree(text: str) -> str:
    """`text` with each "a" and "an" fitted to the word that follows it."""
    return re.sub(r"\ban? (?=(\S+))", lambda found: f"{indefinite(found[1])} ", text)
