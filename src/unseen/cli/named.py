"""A concept as it is named on the command line: its kind and synonyms, or a concept pack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from unseen.cli.commands import refuse_idle
from unseen.cli.options import changed, option


@dataclass(frozen=True, kw_only=True)
class ConceptOptions:
    """What a name stands for."""

    kind: Literal["object", "style", "identity", "attribute"] = "object"
    """What the name stands for."""
    synonym: tuple[str, ...] = option((), metavar="NAME")
    """Another word for it."""
    pack: bool = False
    """NAME is a concept pack: nudity, violence, ... or a file."""
    languages: str | None = option(None, metavar="CODES")
    """Of a pack: which to write prompts in, such as "en,es" (default: all)."""
    person: str | None = option(None, metavar="NAME", flag="--for")
    """Whom a template such as `celebrity` is about."""


def check_concept(options: ConceptOptions) -> None:
    """Refuse what would do nothing: a pack knows its kind, and a name has no languages."""
    if options.pack:
        refuse_idle(changed(options, "kind"), "a name without --pack")
    else:
        refuse_idle(changed(options, "languages", "person"), "--pack")


def concept_called(name: str, options: ConceptOptions, replace_with: str | None = None) -> Any:
    """The concept, or concept pack, that `name` stands for."""
    import unseen

    if options.pack:
        languages = options.languages.split(",") if options.languages else None
        return unseen.load_pack(name, name=options.person, synonyms=options.synonym, languages=languages)
    return unseen.Concept(name, options.kind, options.synonym, replace_with)


def name_of(concept: Any) -> str:
    """The name of a concept or of a pack's concept."""
    return getattr(concept, "concept", concept).name
