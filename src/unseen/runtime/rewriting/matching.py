"""A prompt as the text encoder will see it, its words, and the runs of words that may mean something."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...pipelines import backbone_of, cleaned

# One ideograph or kana is a word; elsewhere, letters and digits with what joins them.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+(?:['’-][^\W_]+)*"
)
_PAUSE = re.compile(r"[^\s_\w'’&-]|\n")
_ARTICLE = re.compile(r"\b([Aa])n?\s+$")
_FUNCTION_WORDS = frozenset(
    """
    a an the of in on with by and or for to from at as is are was were be been being am do does did have has had into
    onto over under across through towards toward off up down out that this these those which who whom whose its it his
    her him he she they them their we us our you your i my me there here where when while than then but so not no nor
    before after amid amidst among amongst between behind beside besides above below near against around along during
    within without upon about like just only still also again until till since if because every each any some all both
    more most much very will would can could should may might must let what why how whoever somebody nobody anybody
    one two three four five six seven eight nine ten dozen hundred first last once twice soon kind many few several
    everybody someone something anything nothing everything one's somebody's
    le la les l un une des du de d et ou au aux en dans sur sous avec sans par pour est sont qui que se sa son ses ce
    cet cette il elle on nous vous ne pas
    der die das den dem ein eine einen einem einer eines und oder im am an auf aus bei mit nach von vom vor zu zum zur
    über unter zwischen durch für ist sind wird werden sich er sie es wir ihr du mir mich dir dich nicht
    el los las lo al del y o con sin por para es son está están su sus una unos unas bajo sobre entre
    """.split()
)


class Word(NamedTuple):
    """A word of a prompt."""

    start: int
    end: int
    text: str
    """In lower case."""
    content: bool
    """Whether it can begin, end or make up a phrase that means something."""
    paused: bool
    """Whether a pause, that is punctuation or the end of a line, stands before it."""


class Phrase(NamedTuple):
    """A phrase of a prompt."""

    start: int
    """Where it begins in the prompt as matched, in characters."""
    end: int
    """Where it ends."""
    text: str
    score: float = 0.0
    """How much of what the name would do in its place it does; 1 is as much."""


def as_matched(pipe: Any, prompt: str) -> str:
    """`prompt` as the pipeline cleans it, without what cannot be seen, in one normal form."""
    text = unicodedata.normalize("NFC", cleaned(backbone_of(pipe), prompt))
    shown = "".join(char for char in text if unicodedata.category(char) not in ("Cf", "Cn", "Co", "Cs"))
    # Marks that nothing is composed with ("b" with a stroke above) are dropped, and full-width letters are letters.
    plain = unicodedata.normalize("NFKC", shown)
    return "".join(char for char in plain if unicodedata.category(char) != "Mn") if plain.isascii() is False else plain


def within(tokenizer: Any, text: str, length: int) -> str:
    """The beginning of `text` that still has a token among `length`; all of it where a tokenizer cannot tell."""
    if not getattr(tokenizer, "is_fast", False) or len(text) <= length:
        return text
    options = {"truncation": True, "max_length": length, "return_offsets_mapping": True}
    ends = [end for _, end in tokenizer(text[: 64 * length], **options)["offset_mapping"]]
    return text[: max(ends, default=0)]


def words(text: str) -> list[Word]:
    """The words of `text` in order."""
    found: list[Word] = []
    end = 0
    for match in _WORD.finditer(text):
        low = match[0].lower()
        content = low not in _FUNCTION_WORDS and not low.isdigit() and (len(low) > 1 or not low.isascii())
        initial = bool(found) and len(found[-1].text) == 1 and text[end : match.start()].strip() == "."
        paused = not initial and _PAUSE.search(text, end, match.start()) is not None
        found.append(Word(match.start(), match.end(), low, content, paused))
        end = match.end()
    return found


def is_named(names: Sequence[str], text: str) -> list[tuple[int, int]]:
    """Where one of `names` stands in `text` literally, in upper or lower case."""
    known = "|".join(re.escape(unicodedata.normalize("NFKC", name)) for name in sorted(names, key=len, reverse=True))
    return [m.span() for m in re.finditer(rf"(?<!\w)(?:{known})(?!\w)", text, re.IGNORECASE)] if known else []


def is_abbreviated(names: Sequence[str], text: str) -> list[tuple[int, int]]:
    """Where one of `names`, which are names of persons, stands in `text` with initials: "T. Inkwell", "Tobias I."."""
    spans: list[tuple[int, int]] = []
    for name in names:
        parts = unicodedata.normalize("NFKC", name).split()
        for short in (slice(0, 1), slice(0, -1), slice(-1, None)) if len(parts) > 1 else ():
            kept = [rf"{re.escape(part)}(?!\w)" for part in parts]
            kept[short] = [rf"{re.escape(part[0])}\." for part in parts[short]]
            spans += [m.span() for m in re.finditer(r"(?<!\w)" + r"\s*".join(kept), text, re.IGNORECASE)]
    return [span for place, span in enumerate(spans) if not any(s < span[1] and span[0] < e for s, e in spans[:place])]


def exchanged(text: str, exchanges: Sequence[tuple[tuple[int, int], str]]) -> str:
    """`text` with every span, none of which overlap, exchanged for a word, an "a" or "an" before it adapted.

    An empty word takes the span away, and a space with it.
    """
    for (start, end), word in sorted(exchanges, reverse=True):
        before, after = text[:start], text[end:]
        if word:
            before = _ARTICLE.sub(r"\1n " if word[0].lower() in "aeiou" else r"\1 ", before)
        elif before.endswith(" ") and after[:1] in ("", " "):
            before = before[:-1]
        text = before + word + after
    return text
