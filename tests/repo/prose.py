"""How the docs read: passive voice per 100 words of prose, and the share of words that stand in tables.

    python tests/repo/prose.py

Counted: README, CONTRIBUTING, CHANGELOG left out, and the pages of docs/ that people write. Pages that a command writes
(results, benchmarks, wrong inputs) say so in their first lines and are counted apart. Code, links' targets and HTML are
no words. A passive is a form of "be" or "get" followed, perhaps after adverbs, by a past participle; adjectives that
only look like one ("is open", "are limited to" count as such) are in `_ADJECTIVES`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
GENERATED = ("results", "benchmarks-", "wrong-inputs")
"""Beginnings of the names of pages that a command writes."""

_BE = r"(?:am|is|are|was|were|be|been|being|isn't|aren't|wasn't|weren't|gets?|got|getting)"
_ADVERB = r"(?:\w+ly|not|never|always|also|still|then|only|even|often|just|now|already|yet|again|once|first|so|too|all|both|thus|ever|nowhere|there|here|later|else|together|either|rather)"  # noqa: E501
_IRREGULAR = """
    given shown known written seen taken made found kept left held put set sent read told said built bought brought
    caught chosen cut done drawn driven eaten fed felt forgotten hidden hit hurt laid led lent lost meant met paid
    proven run sold shut spent split spread stood stolen stuck taught thought thrown torn understood undone worn won
    bound begun broken beaten grown gone got gotten heard learnt spelt misspelt rewritten overwritten drawn withdrawn
    """.split()
_ADJECTIVES = frozenset(
    "gone set open need indeed red bred bed speed seed shed led embed unchanged untouched undertrained supposed related"
    " interested limited tired pleased one-sided named".split()
)
_PARTICIPLE = rf"(?:[a-z-]+ed|{'|'.join(dict.fromkeys(_IRREGULAR))})"
_PASSIVE = re.compile(rf"\b{_BE}\s+(?:{_ADVERB}\s+){{0,2}}({_PARTICIPLE})\b", re.IGNORECASE)


class Prose(NamedTuple):
    """What was counted on a page."""

    words: int
    """In sentences, headings and lists."""
    table_words: int
    passives: tuple[str, ...]
    """As they stand."""

    @property
    def per_hundred(self) -> float:
        """Passives per 100 words of prose."""
        return 100 * len(self.passives) / max(1, self.words)


def measure(text: str) -> Prose:
    """Count a page of Markdown."""
    text = re.sub(r"^---\n.*?^---\n", "", text, count=1, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->|<[^>\n]+>|\$\$.*?\$\$", "", text, flags=re.DOTALL)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    lines = text.splitlines()
    tables = " ".join(line for line in lines if line.lstrip().startswith("|"))
    prose = " ".join(line for line in lines if not line.lstrip().startswith(("|", ":::")))
    prose = re.sub(r"`[^`]*`", "code", prose)
    found = [m[0] for m in _PASSIVE.finditer(prose) if m[1].lower() not in _ADJECTIVES]
    return Prose(_count(prose), _count(tables), tuple(found))


def _count(text: str) -> int:
    return len(re.findall(r"[A-Za-zÀ-ɏͰ-Ͽ][\w'’-]*", text))


def pages(*, generated: bool) -> list[Path]:
    """The pages that a command writes, or those that people write."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in found if path.name.startswith(GENERATED) is generated]


def total(paths: list[Path]) -> Prose:
    """All pages together."""
    counted = [measure(path.read_text(encoding="utf-8")) for path in paths]
    return Prose(
        sum(one.words for one in counted),
        sum(one.table_words for one in counted),
        tuple(passive for one in counted for passive in one.passives),
    )


def main() -> None:
    """Print both measures for each page, for all that people write, and with what commands write."""
    print(f"{'':<34}{'words':>7}{'passive / 100':>15}{'in tables':>11}")
    written, made = pages(generated=False), pages(generated=True)
    rows = [(str(path.relative_to(ROOT)), measure(path.read_text(encoding="utf-8"))) for path in written]
    rows += [("all that people write", total(written)), ("with generated pages", total(written + made))]
    for name, prose in rows:
        share = prose.table_words / max(1, prose.words + prose.table_words)
        print(f"{name:<34}{prose.words:>7}{prose.per_hundred:>15.2f}{share:>11.0%}")


if __name__ == "__main__":
    main()
