"""Find names in texts, in any script and normal form, whatever is put between or into their letters; and names of files
made from them."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

_STRIPPED = re.compile("[A-Za-z\u00aa-\u024f\u0370-\u03ff\u0530-\u06ff\u1e00-\u1fff\u2c60-\u2c7f\ua720-\ua7ff]")
"""Letters of scripts whose marks are accents, vowel points or decoration: a name is the same without them. In Thai,
Hindi or Japanese a mark makes another letter."""
_CYRILLIC = re.compile("[\u0400-\u052f]")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f\u2190-\u2bff"
    "\u2e80-\u30ff\u3100-\u9fff\ua980-\ua9ff\uaa00-\uaa7f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0003ffff]"
)
"""Scripts that do not set words apart by spaces (Thai, Lao, Tibetan, Burmese, Khmer, Javanese, Chinese, Japanese),
Korean with its particles, and pictures such as emoji: beside them a name may begin and end anywhere."""
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]"
)
"""What is not seen though its category is not Cf: fillers, joiners, variation selectors; and tones of skin."""
_CLITICS = tuple("ال و وال ب بال ل لل ف فال ك كال ה ו ב ל כ מ ש וה שה מה".split())
"""Articles and prepositions that Arabic and Hebrew write as one with the noun."""
_OF = frozenset("of in on with by and or for to from at".split())
_INVISIBLE = "\0"
_ASCII = str.maketrans(
    {c: " " if c.isprintable() or c.isspace() else _INVISIBLE for c in map(chr, range(128)) if not c.isalnum()}
)
_RUN = re.compile(r"\d+|[^\d \0]+")


@lru_cache(maxsize=8192)
def _role(char: str) -> str:
    """L for what is compared (letters, digits, pictures), M for a mark, I for what is not seen, S for the rest."""
    category = unicodedata.category(char)
    if _BLANK.match(char) or category == "Cf" or (category == "Cc" and not char.isspace()) or char == "\u0640":
        return "I"
    return "L" if char.isalnum() or category == "So" else category[0] if category[0] == "M" else "S"


def _folded(text: str) -> str:
    """`text` without case, accents and compatibility forms; a space for separators, `_INVISIBLE` for the unseen."""
    if text.isascii():
        return text.lower().translate(_ASCII)
    text = text.replace("\u2122", " ").replace("\u2120", " ")  # ™ and ℠ would become letters of the word before them
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u0131", "i")
    kept: list[str] = []
    base = " "
    for char in unicodedata.normalize("NFKD", text):
        role = _role(char)
        if role == "L":
            kept.append(char)
            base = char
        elif role == "M":
            if _CYRILLIC.match(base):
                dropped = char not in "\u0306\u0308"  # which make й and ё
            else:
                dropped = base == " " or bool(_STRIPPED.match(base)) or "\u0300" <= char <= "\u036f"
            if not dropped:
                kept.append(char)
        elif role == "I":
            kept.append(_INVISIBLE)
        else:
            kept.append(" ")
            base = " "
    return unicodedata.normalize("NFC", "".join(kept))


class _Spelling(NamedTuple):
    """A text as its letters, and where words may begin and end among them."""

    letters: str
    breaks: set[int]
    """Places before which a name may begin or end."""
    gaps: set[int]
    """Those of them where something separates the letters and both belong to scripts with spaces."""


def _letters(folded: str) -> str:
    return folded.replace(" ", "").replace(_INVISIBLE, "")


def _spelling(folded: str) -> _Spelling:
    breaks, gaps, length, end = {0}, set(), 0, 0
    for run in _RUN.finditer(folded):
        word = run[0]
        breaks.add(length)  # also between letters and digits, and at what is not seen
        if " " in folded[end : run.start()]:
            gaps.add(length)
        if not word.isascii():
            breaks.update(length + len(clitic) for clitic in _CLITICS if word.startswith(clitic))
        length, end = length + len(word), run.end()
    breaks.add(length)
    letters = _letters(folded)
    if not letters.isascii():
        for found in _UNSPACED.finditer(letters):
            breaks.update(found.span())
            gaps.difference_update(found.span())
    return _Spelling(letters, breaks, gaps)


_IRREGULAR = dict(
    pair.split("/")
    for pair in "man/men child/children person/people foot/feet tooth/teeth goose/geese mouse/mice ox/oxen".split()
)


def _plurals(word: str) -> list[str]:
    """What may be the plural of an English word in lower case; more than one guess does no harm."""
    if not re.fullmatch("[a-z]{2,}", word):
        return []
    found = [word + "s", word + "es"]
    if word[-1] == "y":
        found.append(word[:-1] + "ies")
    if word.endswith(("f", "fe")):
        found.append(word.rstrip("e")[:-1] + "ves")
    return found + [word[: -len(one)] + many for one, many in _IRREGULAR.items() if word.endswith(one)]


def _forms(name: str) -> Iterator[tuple[str, frozenset[int]]]:
    """How a name may be spelled: its letters, and the places where something may separate them; with its plurals."""
    spelling = _spelling(_folded(name))
    inner = sorted(gap for gap in spelling.gaps if 0 < gap < len(spelling.letters))
    parts = [spelling.letters[a:b] for a, b in zip([0, *inner], [*inner, None], strict=True)]
    heads = {len(parts) - 1}  # "bottles of wine" as well as "French horns"
    heads |= {place - 1 for place, part in enumerate(parts) if place and part in _OF}
    forms = [parts] + [
        [*parts[:head], plural, *parts[head + 1 :]] for head in sorted(heads) for plural in _plurals(parts[head])
    ]
    for form in forms:
        yield "".join(form), frozenset(sum(map(len, form[:place])) for place in range(1, len(form)))


class _Named(Protocol):
    """A `Concept`, or what else has names."""

    @property
    def names(self) -> tuple[str, ...]: ...


class NameMatcher:
    """Finds which of many concepts a text names, in one pass over its letters.

    A name is found whatever its case and normal form, full width, accented or with invisible characters in it; its
    words may be set apart by a space, a hyphen, any other sign or nothing ("French-horn", "FrenchHorn"); an English
    plural counts. It must be a word of its own where words are set apart by spaces ("horn" is not found in "Waldhorn"),
    not in Chinese or Thai.
    """

    def __init__(self, concepts: Sequence[_Named]):
        self._tree: dict[str, Any] = {}  # by letter; under "" the names that end there
        self._spelled: set[str] = set()
        self._signs: list[tuple[int, str]] = []
        for index, concept in enumerate(concepts):
            for name in concept.names:
                for letters, joints in _forms(name):
                    if not letters:  # a name of signs alone, such as "!!!"
                        self._signs.append((index, unicodedata.normalize("NFKC", name)))
                        continue
                    self._spelled.add(letters)
                    node = self._tree
                    for letter in letters:
                        node = node.setdefault(letter, {})
                    node.setdefault("", []).append((index, joints))

    def _may_be_in(self, letters: str) -> bool:
        """Whether any name may be found; asked of few names alone, since many take longer than to look."""
        return len(self._spelled) > 32 or any(name in letters for name in self._spelled)

    def named_in(self, text: str) -> frozenset[int]:
        """Indices of the concepts of which a name or synonym is said in `text`."""
        folded, found = _folded(text), set[int]()
        # Most prompts hold the letters of few names; where words begin and end in the others need not be known.
        letters, breaks, gaps = _spelling(folded) if self._may_be_in(_letters(folded)) else _Spelling("", set(), set())
        for start in breaks:
            node = self._tree
            for end in range(start + 1, len(letters) + 1):
                if letters[end - 1] not in node:
                    break
                node = node[letters[end - 1]]
                if "" in node and end in breaks:
                    inside = {gap - start for gap in gaps if start < gap < end}
                    found.update(index for index, joints in node[""] if inside <= joints)
        if self._signs:
            plain = unicodedata.normalize("NFKC", text)
            found.update(index for index, name in self._signs if name in plain)
        return frozenset(found)


_DEVICES = frozenset(
    ["con", "prn", "aux", "nul"] + [f"{port}{number}" for port in ("com", "lpt") for number in range(10)]
)
"""What no file can be called on Windows."""


def file_name(text: str, limit: int = 48) -> str:
    """A name for a file or folder, valid on every system: "french-horn" for "French horn", "ac-dc" for "AC/DC".

    Where too much of the text is lost to tell it from others ("C++", "con", what is longer than `limit`), a digest of
    it is added.
    """
    text = unicodedata.normalize("NFKC", text).strip()
    kept = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else "-" for c in text.lower())
    name = re.sub("-+", "-", kept).strip("-")
    short = name[:limit].encode()[:180].decode(errors="ignore").rstrip("-")  # folders count bytes
    if short and short == name and name not in _DEVICES and kept[0] + kept[-1] == name[0] + name[-1]:
        return name
    digest = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{short}-{digest}" if short else digest
