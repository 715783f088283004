"""The page that a repository of erasers shows: what is erased, where, what fires, how well, for which weights.

Made of an eraser's stored facts alone, so that it says what is in the files beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..encoder.layers import layer_name

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_CONFIG_GROUPS = ("prompts", "sae", "search", "edit")


def card(
    erasers: Sequence[Mapping[str, Any]],
    license: str | None = None,
    rates: Mapping[str, Mapping[str, str]] | None = None,
    source: str = "org/repo",
) -> str:
    """A page in Markdown for erasers' facts as they are stored, each with `key` and `features` besides.

    Args:
        erasers: One or more.
        license: An identifier that the hub knows, such as "apache-2.0"; the page says so where there is none.
        rates: By concept, what was measured and how much it was: `{"church": {"frames that show it": "0 % [0, 3]"}}`.
        source: The repository, as its example loads it.

    Raises `ValueError` for rates of a concept that is not among the erasers.
    """
    names = [facts["concept"]["name"] for facts in erasers]
    unknown = sorted((rates or {}).keys() - set(names))
    if unknown:
        raise ValueError(f"expected rates of {', '.join(names)}, got some of {unknown[0]!r}.")
    models = sorted({model for facts in erasers if _HUB_ID.fullmatch(model := _origin(facts).get("model", ""))})
    front = ["library_name: unseen", "tags:", *(f"- {tag}" for tag in ("unseen", "concept-erasure", "safety"))]
    if license:
        front.insert(0, f"license: {json.dumps(license)}")
    if models:
        front += ["base_model:", *(f"- {model}" for model in models)]
    title = f"{_said(names[0])}, erased" if len(names) == 1 else f"{len(names)} concepts, erased"
    parts = [
        "---\n" + "\n".join(front) + "\n---",
        f"# {title}",
        "Erasers of `unseen`: small files that take a concept out of the text encoder's states while a video model is"
        " prompted, and change no weight.",
        f'```python\nimport unseen\n\nunseen.load_eraser(pipe, "{source}")\n```',
        *(_section(facts, (rates or {}).get(facts["concept"]["name"], {})) for facts in erasers),
        "## Limits\n\nA text eraser sees the prompt alone: pictures as input are not guarded, and whoever holds the"
        " weights can take it off. Rates hold for the model they were measured on.",
        f"## Licence\n\n{license or 'Whoever made this repository stated none.'}",
    ]
    return "\n\n".join(parts) + "\n"


def _section(facts: Mapping[str, Any], rates: Mapping[str, str]) -> str:
    concept, report, origin = facts["concept"], facts["report"], _origin(facts)
    synonyms = ", ".join(map(_said, concept.get("synonyms") or ())) or "none"
    rows = {
        "kind": concept.get("kind", ""),
        "other names": synonyms,
        "layer": layer_name(facts["layer"]),
        "strength γ": f"{facts['strength']:g}",
        "features": facts["features"],
        "other words are looked for": "yes" if facts["mentions"] else "no",
        "fitted on": _fitted_on(origin),
        "text encoder's fingerprint": f"`{facts['encoder_fingerprint']}`",
        "key": f"`{facts['key']}`",
        "fitted at": origin.get("date", "not recorded"),
        "with": ", ".join(f"{n} {v}" for n, v in origin.get("libraries", {}).items()) or "not recorded",
        "seed": report.get("seed", "not recorded"),
    }
    parts = [f"## {_said(concept['name'])}", _table(("fact", "value"), rows)]
    if report.get("top_tokens"):
        fires = {str(n + 1): ", ".join(_code(t) for t in tokens) for n, tokens in enumerate(report["top_tokens"])}
        parts += ["What fires, strongest feature first:", _table(("feature", "tokens"), fires)]
    if report.get("fired_on"):
        fired = {name.replace("_", " "): f"{share:.1%}" for name, share in report["fired_on"].items()}
        parts += ["Prompts of the fit on which it acts:", _table(("prompts", "share"), fired)]
    verdict = report.get("verdict")
    if isinstance(verdict, dict) and "worked" in verdict:
        reasons = "; ".join(verdict.get("reasons", ()))
        parts.append(
            f"By held-out pairs the fit {'worked' if verdict['worked'] else f'did not work: {_said(reasons)}'}."
        )
    trial = report.get("strength_trials", {}).get(str(facts["strength"])) or {}
    left = {n.removeprefix("residual_") + " tokens": f"{v:.1%}" for n, v in trial.items() if n.startswith("residual")}
    if left:
        parts += ["What a probe still reads of the concept at the encoder's output:", _table(("where", "left"), left)]
    if "damage" in trial:
        parts.append(f"The rest of the prompt changes {trial['damage']:.2f} times as much as the concept changes it.")
    if rates:
        parts += ["Measured on video:", _table(("what", "rate"), rates)]
    else:
        parts.append("No rate was measured on video.")
    config = origin.get("config", {})
    groups = [f"{g}: {json.dumps(config[g], sort_keys=True)}" for g in _CONFIG_GROUPS if g in config]
    if groups:
        parts.append("Settings of the fit:\n\n```\n" + "\n".join(groups) + "\n```")
    return "\n\n".join(parts)


def _origin(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    origin = facts["report"].get("origin")
    return origin if isinstance(origin, dict) else {}


def _fitted_on(origin: Mapping[str, Any]) -> str:
    where = " ".join(str(origin.get(name) or "") for name in ("model", "encoder")).strip()
    revision = origin.get("revision")
    return f"{_said(where)}{f' at {revision}' if revision else ''}" if where else "not recorded"


def _table(head: tuple[str, str], rows: Mapping[str, Any]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {_said(name)} | {value} |" for name, value in rows.items())])


def _code(text: Any) -> str:
    """A token as code in a table, where nothing but the bar and the tick has a meaning."""
    return "`" + " ".join(str(text).split()).replace("`", "'").replace("|", "\\|") + "`"


def _said(text: Any) -> str:
    """Text of somebody else's, on one line and without what Markdown or HTML would take for its own."""
    return re.sub(r"([|`<>\[\]*_\\])", r"\\\1", " ".join(str(text).split()))
