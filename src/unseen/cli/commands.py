"""What the commands do, once their options are known."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import random
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

TRAINERS = {
    "layers": "unseen.diorama.training.layers",
    "tokens": "unseen.diorama.training.tokens",
    "vae": "unseen.diorama.training.vae",
    "text": "unseen.diorama.training.text",
    "transformer": "unseen.diorama.training.transformer",
    "detector": "unseen.diorama.training.detector",
}
DIORAMA = {None: "wan", "diorama-wan": "wan", "diorama-cogvideox": "cogvideox"}
"""What `--model` may be for one of Diorama's two models."""
_EXTRA = "diorama"
_EXTRA_MODULES = ("cv2", "diffusers", "imageio_ffmpeg", "jinja2", "matplotlib", "numpy", "PIL", "tqdm")


class UsageError(Exception):
    """Something in the command has to be changed; the message says what."""


def require_extra() -> None:
    """Raise `UsageError` where Diorama's packages are missing; quiet the loading of models otherwise."""
    missing = [name for name in _EXTRA_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"This command needs {', '.join(missing)}, which this Python does not have: pip install 'unseen[{_EXTRA}]'."
        )
    from transformers.utils import logging

    logging.set_verbosity_error()  # what it reports on loading concerns the makers of the model
    logging.disable_progress_bar()


def _pipeline(options: argparse.Namespace, *, text_only: bool = False) -> Any:
    """The pipeline, or with `text_only` no more of it than a fit needs."""
    require_extra()
    if options.model in DIORAMA:
        from unseen.diorama import load_pipeline, load_text_encoder

        which = DIORAMA[options.model]
        # a pair of tokenizer and encoder is taken to be Wan's kind, which hides padding
        return load_text_encoder() if text_only and which == "wan" else load_pipeline(which)
    from unseen.pipelines import load

    return load(
        options.model,
        text_only=text_only,
        dtype=options.dtype,
        device=options.device,
        revision=options.revision,
        offload=getattr(options, "offload", None),
    )


def demo(options: argparse.Namespace) -> None:
    """Erase a concept from Diorama, measure it, write the report."""
    require_extra()
    if options.concept and options.concept_option and options.concept != options.concept_option:
        raise UsageError(f"Name one concept, not both {options.concept!r} and {options.concept_option!r}.")
    concept = options.concept or options.concept_option or "French horn"
    from unseen.diorama.world.captions import key_of

    key_of(concept)  # an unknown one is refused before anything is loaded
    from unseen.bench.demo import run_demo

    run_demo(concept, options.out, model=options.model, seed=options.seed, quick=options.quick)


def fit(options: argparse.Namespace) -> int:
    """Fit erasers and keep them. Returns 3 if one does not work by its held-out pairs."""
    import unseen
    from unseen.cli.settings import chosen_settings
    from unseen.files import require_writable
    from unseen.names import file_name

    several = len(options.name) > 1
    given = {"--synonym": options.synonym, "--replace-with": options.replace_with, "--pairs": options.pairs}
    for option, value in given.items():
        if several and value:
            raise UsageError(f"{option} is for one concept, and {len(options.name)} are named. Fit that one alone.")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", unseen.ConceptWarning)
        asked = [_concept(options, name) for name in options.name]
    for warning in told:
        print(f"unseen: {warning.message} Here: --synonym NAME.", file=sys.stderr)
    usual = Path("erasers") if several else Path("erasers") / file_name(_name_of(asked[0]))
    out = options.out or usual
    folders = [out / file_name(_name_of(concept)) if several else out for concept in asked]
    for folder in folders:  # before the work, not after it
        require_writable(folder)
    how = {"config": chosen_settings(options), "seed": options.seed, "encoder": options.encoder}
    if not several:
        how |= {
            "pairs": None if options.pairs is None else unseen.load_pairs(options.pairs),
            "retain": () if options.retain is None else unseen.load_prompts(options.retain),
        }
    pipe = _pipeline(options, text_only=True)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        erasers = unseen.fit_many(pipe, asked, **how) if several else [unseen.fit(pipe, asked[0], **how)]
    for eraser, folder in zip(erasers, folders, strict=True):
        eraser.save_pretrained(folder)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1000
        print(
            f"{eraser.name}: layer {eraser.layer}, {eraser.num_features} features, strength {eraser.strength:g};"
            f" {size:.0f} kB in {folder}"
        )
    for warning in told:
        print(f"unseen: {warning.message}", file=sys.stderr)
    print(f'try it: unseen generate "..." {" ".join(f"--eraser {folder}" for folder in folders)} --compare')
    return 0 if all(eraser.report["verdict"]["worked"] for eraser in erasers) else 3


def _concept(options: argparse.Namespace, name: str) -> Any:
    """The concept, or concept pack, that `name` stands for."""
    import unseen

    if options.pack:
        languages = options.languages.split(",") if options.languages else None
        return unseen.load_pack(name, name=options.person, synonyms=tuple(options.synonym), languages=languages)
    replacement = getattr(options, "replace_with", None)
    return unseen.Concept(name, options.kind, tuple(options.synonym), replacement)


def _name_of(concept: Any) -> str:
    return getattr(concept, "concept", concept).name


def prompts(options: argparse.Namespace) -> None:
    """Print what a fit would read."""
    import unseen
    from unseen.prompts.writer import write_prompts

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", unseen.ConceptWarning)  # said when it is fitted
        concept = _concept(options, options.name)
    # As many as a fit has, so that a look at some of them shows what all are like.
    written = write_prompts(concept, seed=options.seed, use=options.use)
    shown = random.Random(options.seed).sample(written.pairs, min(options.count, len(written.pairs)))
    for pair in shown:
        print(f"{pair.positive}  |  {pair.negative}")
    for text in (*written.retain[:3], *written.same_word[:2]):
        print(f"stays: {text}")


def _call_arguments(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise UsageError(f"--call is not JSON ({error.msg} at column {error.colno}): {text}") from error
    if not isinstance(found, dict):
        raise UsageError(f"--call must be a JSON object of argument names and values, not {text}.")
    return found


def _recommended(model: str | None, pipe: Any) -> dict[str, Any]:
    """Arguments of the pipeline call that its makers recommend."""
    if model in DIORAMA:
        from unseen.diorama.model.pipeline import GENERATION

        return dict(GENERATION)
    from unseen.pipelines import backbone_of

    known = backbone_of(pipe)
    return dict(known.generation) if known else {}


def generate(options: argparse.Namespace) -> None:
    """Draw a clip, with or without erasers."""
    import unseen

    if options.compare and not options.eraser:
        raise UsageError("--compare needs an eraser: add --eraser FOLDER, made by `unseen fit`.")
    given = _call_arguments(options.call)
    for folder in options.eraser:
        if not folder.is_dir():
            raise UsageError(f"There is no eraser in {folder}: make one with `unseen fit NAME --out {folder}`.")
    erasers = [unseen.ClearEraser.from_pretrained(folder) for folder in options.eraser]
    pipe = _pipeline(options)
    from unseen.bench.draw import draw_prompt

    call = {**_recommended(options.model, pipe), **given}
    for path in draw_prompt(
        pipe,
        options.prompt,
        erasers,
        strength=options.strength,
        seed=options.seed,
        compare=options.compare,
        call=call,
        out=options.out,
        audit=options.audit,
    ):
        print(path)


def plan(options: argparse.Namespace) -> None:
    """Print what tasks on a model need."""
    require_extra()
    import unseen
    from unseen.plan import measured_speed, needs, report

    config = replace(unseen.ClearConfig(), memory_budget=options.memory_budget)
    found, remarks = needs(options.model, config=config, dtype=options.dtype, revision=options.revision)
    device, speed = ("the device meant", options.tflops * 1e12) if options.tflops else measured_speed()
    print(report(found, remarks, device, speed))


def doctor(options: argparse.Namespace) -> int:
    """Say what is wrong with the installation; 1 if something is."""
    from unseen.doctor import report

    return report(_EXTRA_MODULES, _EXTRA)


def train(options: argparse.Namespace) -> None:
    """Train a part of Diorama."""
    if options.part is None:
        options.parser.print_help()
        return
    rest = [*options.rest, *(["--help"] if options.help else [])]
    require_extra()
    importlib.import_module(TRAINERS[options.part]).main(rest)
