"""`unseen generate`: a clip, with or without erasers, or both side by side."""

from __future__ import annotations

import argparse
import inspect
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from unseen.cli.commands import UsageError, did_you_mean, print_json, refuse_idle, require_file, require_folder
from unseen.cli.model import DIORAMA, ModelOptions, check_model, load_model
from unseen.cli.options import add_options, changed, option, read_options
from unseen.errors import UnseenError

_OURS = ("prompt", "generator", "output_type", "return_dict", "prompt_embeds")
"""Arguments of a pipeline call that this command gives itself, or that would get past its erasers."""


@dataclass(frozen=True, kw_only=True)
class Options(ModelOptions):
    """Of the command."""

    prompt: str = option(metavar="PROMPT")
    """What to generate: "a French horn drifts left over a green meadow"."""
    eraser: tuple[Path, ...] = option((), metavar="FOLDER")
    """An eraser from `unseen fit`."""
    strength: float | None = option(None, least=0)
    """Erasure strength for all erasers (default: their own)."""
    compare: bool = False
    """Write before and after from the same noise, side by side, and say whether an eraser fired."""
    seed: int = option(0, least=0, most=2**63 - 1)
    """Seed of the noise."""
    out: Path = option(Path("runs/generate"), metavar="FOLDER")
    """Folder to write to."""
    offload: Literal["model", "group", "sequential"] | None = None
    """Keep components in main memory until they run."""
    audit: Path | None = option(None, metavar="FILE")
    """Append a JSON line for each prompt: which erasers fired, on what."""
    on_residual: Literal["erase", "refuse", "warn"] | None = None
    """Close the loop: take away words that bring the concept back past the eraser; if that does not do, generate from
    the empty prompt, refuse, or say so."""
    call: str | None = option(None, metavar="JSON")
    """Arguments of the pipeline call, for instance '{"num_inference_steps": 30}'."""
    json: bool = False
    """Print the files and what fired as JSON."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "generate",
        help="generate a clip, with or without erasers",
        description="Generates a clip as GIF and MP4 and its frames as a PNG sheet. With --compare the same noise is "
        "generated without and with the erasers, side by side.",
    )
    add_options(parser, Options)
    parser.set_defaults(run=run, interrupted="nothing was written; the same command starts again")


def run(given: argparse.Namespace) -> None:
    """Generate, and say which erasers fired."""
    options = read_options(Options, given)
    call = _call_arguments(options.call)
    _check(options)
    erasers = _erasers(options.eraser)
    pipe = load_model(options, offload=options.offload)
    _require_known(pipe, call)
    with _audited(options) as log:
        start = log.stat().st_size if log is not None and log.exists() else 0
        try:
            paths = _generate(options, pipe, erasers, call, log)
        except Exception as error:
            if call and not isinstance(error, OSError | UnseenError):
                raise UsageError(f"the pipeline did not run with --call {options.call}: {_first(error)}") from error
            raise
        fired = {} if log is None else _fired(log, start)
    told = [{"concept": eraser.name, "tokens": fired.get(eraser.key, [])} for eraser in erasers]
    if options.json:
        files = [str(path) for path in paths]
        print_json({"prompt": options.prompt, "seed": options.seed, "files": files, "erasers": told})
        return
    for one in told:
        words = " ".join(f"{token} ({activity:.2f})" for token, activity in one["tokens"])
        print(f"{one['concept']}: " + (f"fired on {words}" if words else "did not fire; nothing was changed"))
    for path in paths:
        print(path)


def _generate(
    options: Options, pipe: Any, erasers: list[Any], call: Mapping[str, Any], audit: Path | None
) -> list[Path]:
    """Write the clip with the erasers; to compare, also without them, side by side. Returns the files."""
    import numpy as np
    from PIL import Image

    from unseen import attach
    from unseen.bench.views.media import contact_sheet, enlarge, slug, write_clip, write_pair
    from unseen.diorama.model.pipeline import draw_clip, recommended

    call = {**recommended(pipe, is_diorama=options.model in DIORAMA), **call}
    name = f"{slug(options.prompt)}-{options.seed}"
    before = draw_clip(pipe, options.prompt, options.seed, call) if options.compare or not erasers else None
    after = None
    if erasers:
        strengths = None if options.strength is None else [options.strength] * len(erasers)
        with attach(pipe, erasers, strengths=strengths, audit=audit, on_residual=options.on_residual):
            after = draw_clip(pipe, options.prompt, options.seed, call)
    if before is not None and after is not None:
        paths = write_clip(before, options.out, f"{name}-before") + write_clip(after, options.out, f"{name}-after")
        paths += write_pair(before, after, options.out, f"{name}-compare")
        sheet = contact_sheet([(options.prompt, before, after)])
    else:
        clip = before if after is None else after
        assert clip is not None
        paths = write_clip(clip, options.out, name)
        sheet = Image.fromarray(np.concatenate(list(enlarge(clip, 2)), axis=1))
    png = options.out / f"{name}.png"
    sheet.save(png)
    return [*paths, png]


def _check(options: Options) -> None:
    """Refuse what does not go together, before anything is loaded."""
    if not options.prompt.strip():
        raise UsageError('expected a prompt such as "a French horn in the snow", got an empty one.')
    if options.compare and not options.eraser:
        raise UsageError("--compare needs an eraser: add --eraser FOLDER, made by `unseen fit`.")
    if not options.eraser:
        refuse_idle(changed(options, "strength", "audit", "on_residual"), "--eraser FOLDER")
    if options.model in DIORAMA:
        refuse_idle(changed(options, "offload"), "--model ID (Diorama runs as it is)")
    check_model(options)
    require_folder(options.out, "--out")
    if options.audit is not None:
        require_file(options.audit, "--audit")


def _erasers(folders: tuple[Path, ...]) -> list[Any]:
    from unseen.clear.eraser import ClearEraser

    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"There is no eraser in {folder}: make one with `unseen fit NAME --out {folder}`.")
    return [ClearEraser.from_pretrained(folder) for folder in folders]


def _call_arguments(text: str | None) -> dict[str, Any]:
    def constant(name: str) -> NoReturn:
        raise UsageError(f"--call: {name} is no JSON number.")

    try:
        found = json.loads(text or "{}", parse_constant=constant)
    except (json.JSONDecodeError, RecursionError) as error:
        why = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise UsageError(f"--call is not JSON ({why}): {str(text)[:80]}") from error
    if not isinstance(found, dict):
        raise UsageError(f"--call must be a JSON object of argument names and values, not {str(text)[:80]}.")
    if ours := [name for name in _OURS if name in found]:
        raise UsageError(f"--call: {ours[0]!r} is what this command gives the pipeline itself. Leave it out.")
    return found


def _require_known(pipe: Any, call: Mapping[str, Any]) -> None:
    """Refuse an argument that the pipeline's call does not have."""
    parameters = inspect.signature(type(pipe).__call__).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return
    for name in call:
        if name not in parameters:
            raise UsageError(f"--call: {type(pipe).__name__} takes no {name!r}{did_you_mean(name, parameters)}.")


@contextmanager
def _audited(options: Options) -> Iterator[Path | None]:
    """Where the erasers write what they did: the user's log, or one that is read and thrown away."""
    if not options.eraser or options.audit is not None:
        yield options.audit
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "audit.jsonl"


def _fired(log: Path, start: int) -> dict[str, list[tuple[str, float]]]:
    """Tokens and activities by the eraser's key, from what was written to the log since `start`."""
    fired: dict[str, list[tuple[str, float]]] = {}
    with log.open("rb") as file:
        file.seek(start)
        for line in file.read().decode().strip().split("\n"):
            for one in json.loads(line).get("fired", ()):
                fired[one["key"]] = [(token, activity) for token, activity in one["tokens"]]
    return fired


def _first(error: BaseException) -> str:
    """The first line of an error, with its type where it says nothing of itself."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
