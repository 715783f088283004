"""The command line: `unseen demo | fit | generate | evaluate | sweep | ablate | doctor | train`."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.errors import UnseenError

EVALUATIONS = {
    "picture": "how good the video model's pictures are, before anything is erased",
    "objects": "the ten objects: erased, neighbours and other subjects kept, what appears instead, controls",
    "kinds": "a style, an identity and an attribute: erased, and the rest of those prompts kept",
    "phrasings": "unseen synonyms, descriptions, languages, misspellings",
    "together": "ten objects erased at once, from one set of autoencoders",
    "all": "everything above",
}
TRAINERS = {
    "pool": "unseen.diorama.pool",
    "vae": "unseen.diorama.train_vae",
    "latents": "unseen.diorama.latents",
    "transformer": "unseen.diorama.train_transformer",
    "detector": "unseen.diorama.train_detector",
}
_KINDS = ("object", "style", "identity", "attribute")
_EXTRA = "diorama"
_EXTRA_MODULES = ("cv2", "diffusers", "imageio_ffmpeg", "jinja2", "matplotlib", "numpy", "PIL", "tqdm")


class UsageError(Exception):
    """Something in the command has to be changed; the message says what."""


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of 1 or more")
    return number


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands; `options.run(options)` carries out the chosen one."""
    parser = argparse.ArgumentParser(
        prog="unseen",
        description="Erase concepts from text-to-video diffusion models without touching their weights.",
        epilog="Start with: unseen demo. Each command explains itself: unseen fit --help.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = commands.add_parser(
        "demo",
        help="erase a concept from the small built-in video model, measure it, and write a report",
        description="Fits an eraser for one concept, draws the same prompts from the same noise with and without it, "
        "and writes report.html, clips (GIF, MP4) and a contact sheet. Takes a few minutes on two cores.",
    )
    demo.add_argument("concept", nargs="?", help='what to erase, for instance "church" (default: French horn)')
    demo.add_argument("--concept", dest="concept_option", metavar="NAME", help="the same as naming it directly")
    demo.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder to write to (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="seed of the fit and of the prompts (default: %(default)s)")
    demo.add_argument("--quick", action="store_true", help="a few clips only: for a first look, not for numbers")
    demo.set_defaults(run=_demo)

    fit = commands.add_parser(
        "fit",
        help="learn to erase a concept and keep the eraser in a folder",
        description="Fits an eraser from the concept's name alone and writes it to a folder of some kilobytes. "
        "The video model's weights are neither needed for it nor changed by it.",
    )
    fit.add_argument("name", help='what to erase, without an article: "French horn", "Tobias Inkwell", "burning"')
    fit.add_argument("--kind", choices=_KINDS, default="object", help="what the name stands for (default: %(default)s)")
    fit.add_argument(
        "--synonym", action="append", default=[], metavar="NAME", help="another word for it; may be repeated"
    )
    fit.add_argument("--replace-with", metavar="NAME", help="put this concept in its place instead of nothing")
    fit.add_argument(
        "--pairs", type=Path, metavar="FILE", help="your own prompt pairs: CSV or JSONL with positive, negative"
    )
    fit.add_argument("--config", choices=("default", "paper"), default="default", help="settings of the fit")
    fit.add_argument("--seed", type=int, default=0, help="seed of the fit (default: %(default)s)")
    fit.add_argument("--out", type=Path, metavar="FOLDER", help="where to keep the eraser (default: erasers/NAME)")
    _add_model(fit)
    fit.set_defaults(run=_fit)

    generate = commands.add_parser(
        "generate",
        help="draw a clip, with or without erasers",
        description="Draws a clip as GIF and MP4 and its frames as a PNG sheet. With --compare the same noise is drawn "
        "without and with the erasers, side by side.",
    )
    generate.add_argument("prompt", help='what to draw: "a French horn drifts left over a green meadow"')
    generate.add_argument(
        "--eraser",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="an eraser from `unseen fit`; may be repeated",
    )
    generate.add_argument(
        "--strength", type=float, metavar="X", help="erasure strength for all erasers (default: their own)"
    )
    generate.add_argument("--compare", action="store_true", help="write before and after")
    generate.add_argument("--seed", type=int, default=0, help="seed of the noise (default: %(default)s)")
    generate.add_argument(
        "--out", type=Path, default=Path("runs/generate"), help="folder to write to (default: %(default)s)"
    )
    _add_model(generate)
    generate.add_argument(
        "--call", metavar="JSON", help="arguments of the pipeline call, for instance '{\"num_inference_steps\": 30}'"
    )
    generate.set_defaults(run=_generate)

    evaluate = commands.add_parser(
        "evaluate",
        help="measure picture quality, erasure and what is kept",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Prints tables with numbers of clips, intervals and detector floors, and writes them as Markdown "
        "and CSV.\nAn interrupted run goes on where it stopped.\n\n"
        + "\n".join(f"  {n:<10} {t}" for n, t in EVALUATIONS.items()),
    )
    evaluate.add_argument("what", choices=tuple(EVALUATIONS), help="which tables")
    evaluate.add_argument(
        "--split", choices=("development", "test"), default="test", help="wording of the prompts (default: %(default)s)"
    )
    _add_measuring(evaluate)
    evaluate.set_defaults(run=_evaluate)

    sweep = commands.add_parser(
        "sweep",
        help="erase at every block and strength, and see whether the search found the best",
        description="For each concept: an eraser at every candidate block and strength, measured on video; what the "
        "layer search and every other criterion would have chosen; a figure (PNG) per concept and all cells as CSV. "
        "Strengths are chosen on development wording and scores reported on test wording. An interrupted run goes on "
        "where it stopped.",
    )
    _add_measuring(sweep)
    sweep.set_defaults(run=_evaluate, what="sweep", split="test")

    ablate = commands.add_parser(
        "ablate",
        help="change one part of the method at a time and measure what it was worth",
        description="Per concept: fits that differ from the default in one setting, and two dense edits, on video.",
    )
    _add_measuring(ablate)
    ablate.set_defaults(run=_evaluate, what="ablate", split="development")

    doctor = commands.add_parser(
        "doctor",
        help="check the installation and say what to do",
        description="Looks at versions known to be broken, the device, Diorama's parts and the local hub cache.",
    )
    doctor.set_defaults(run=_doctor)

    train = commands.add_parser(
        "train",
        help="train a part of the built-in video model (hours)",
        description="Trains one part of Diorama; interrupted training goes on from its last checkpoint. Further "
        "options are the part's own: unseen train vae --help.",
        add_help=False,
    )
    train.add_argument("part", nargs="?", choices=tuple(TRAINERS), help="which part")
    train.add_argument("-h", "--help", action="store_true", help="show this help, or that of the part")
    train.set_defaults(run=_train, parser=train)
    return parser


def _add_measuring(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument(
        "--clips", type=_positive, metavar="N", help="clips per cell (default: enough for 300 per headline)"
    )
    evaluate.add_argument("--config", choices=("default", "paper"), default="default", help="settings of the fits")
    evaluate.add_argument(
        "--concepts", nargs="+", metavar="NAME", default=[], help='only these, for instance "French horn" church'
    )
    evaluate.add_argument("--seed", type=int, default=0, help="seed of fits and prompts (default: %(default)s)")
    evaluate.add_argument(
        "--out", type=Path, default=Path("runs/evaluate"), help="folder to write to (default: %(default)s)"
    )
    evaluate.add_argument(
        "--quick", action="store_true", help="a few clips per cell: for a first look, not for numbers"
    )
    evaluate.add_argument(
        "--steps", type=_positive, metavar="N", help="denoising steps a clip, to measure faster (default: the model's)"
    )
    evaluate.add_argument(
        "--listed", action="store_true", help="phrasings: give the fits some other names (none of those measured) too"
    )
    evaluate.add_argument("--results", type=Path, metavar="FILE", help="also write all tables to this Markdown file")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="FOLDER", help="a diffusers pipeline folder (default: the built-in Diorama)")


def _require_extra() -> None:
    missing = [name for name in _EXTRA_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"This command needs {', '.join(missing)}, which this Python does not have: pip install 'unseen[{_EXTRA}]'."
        )
    from transformers.utils import logging

    logging.set_verbosity_error()  # what it reports on loading concerns the makers of the model
    logging.disable_progress_bar()


def _pipeline(folder: str | None, *, text_only: bool = False) -> Any:
    """The pipeline, or with `text_only` no more of it than a fit needs."""
    _require_extra()
    if folder is None:
        from unseen.diorama import load_pipeline, load_text_encoder

        return load_text_encoder() if text_only else load_pipeline()
    from diffusers import DiffusionPipeline

    if not (Path(folder) / "model_index.json").is_file():
        raise UsageError(f"{folder} is not a pipeline folder: it has no model_index.json.")
    pipe = DiffusionPipeline.from_pretrained(folder, **({"transformer": None, "vae": None} if text_only else {}))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _demo(options: argparse.Namespace) -> None:
    _require_extra()
    if options.concept and options.concept_option and options.concept != options.concept_option:
        raise UsageError(f"Name one concept, not both {options.concept!r} and {options.concept_option!r}.")
    concept = options.concept or options.concept_option or "French horn"
    from unseen.diorama.captions import key_of

    key_of(concept)  # an unknown one is refused before anything is loaded
    from unseen.bench.demo import run_demo

    run_demo(concept, options.out, seed=options.seed, quick=options.quick)


def _fit(options: argparse.Namespace) -> None:
    import unseen

    concept = unseen.Concept(options.name, options.kind, tuple(options.synonym), options.replace_with)
    from unseen.concept import load_pairs

    pairs = None if options.pairs is None else load_pairs(options.pairs)
    out = options.out or Path("erasers") / options.name.lower().replace(" ", "-")
    config = unseen.ClearConfig.paper() if options.config == "paper" else None
    eraser = unseen.fit(
        _pipeline(options.model, text_only=True), concept, config=config, seed=options.seed, pairs=pairs
    )
    eraser.save_pretrained(out)
    size = sum(file.stat().st_size for file in out.iterdir()) / 1000
    print(f"block {eraser.layer}, {eraser.num_features} features, strength {eraser.strength:g}; {size:.0f} kB in {out}")
    print(f'try it: unseen generate "..." --eraser {out} --compare')


def _call_arguments(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise UsageError(f"--call is not JSON ({error.msg} at column {error.colno}): {text}") from error
    if not isinstance(found, dict):
        raise UsageError(f"--call must be a JSON object of argument names and values, not {text}.")
    return found


def _generate(options: argparse.Namespace) -> None:
    import unseen

    if options.compare and not options.eraser:
        raise UsageError("--compare needs an eraser: add --eraser FOLDER, made by `unseen fit`.")
    given = _call_arguments(options.call)
    for folder in options.eraser:
        if not folder.is_dir():
            raise UsageError(f"There is no eraser in {folder}: make one with `unseen fit NAME --out {folder}`.")
    erasers = [unseen.ClearEraser.from_pretrained(folder) for folder in options.eraser]
    pipe = _pipeline(options.model)
    from unseen.bench.draw import draw_prompt
    from unseen.diorama.pipeline import GENERATION

    call = {**(GENERATION if options.model is None else {}), **given}
    for path in draw_prompt(
        pipe,
        options.prompt,
        erasers,
        strength=options.strength,
        seed=options.seed,
        compare=options.compare,
        call=call,
        out=options.out,
    ):
        print(path)


def _evaluate(options: argparse.Namespace) -> None:
    _require_extra()
    from unseen.bench.evaluate import run_evaluation
    from unseen.bench.study import Settings

    settings = Settings(
        folder=options.out,
        split=options.split,
        seed=options.seed,
        config=options.config,
        concepts=tuple(options.concepts),
        clips=options.clips,
        quick=options.quick,
        steps=options.steps,
        listed=options.listed,
    )
    run_evaluation(options.what, settings, results=options.results)


def _doctor(options: argparse.Namespace) -> int:
    from unseen.doctor import report

    return report(_EXTRA_MODULES, _EXTRA)


def _train(options: argparse.Namespace) -> None:
    if options.part is None:
        options.parser.print_help()
        return
    rest = [*options.rest, *(["--help"] if options.help else [])]
    _require_extra()
    importlib.import_module(TRAINERS[options.part]).main(rest)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns 0; 1 if `doctor` finds a problem; 2 after an error that the user can put right."""
    parser = build_parser()
    options, rest = parser.parse_known_args(argv)
    if rest and options.run is not _train:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        return options.run(options) or 0
    except (UsageError, UnseenError, FileNotFoundError, NotADirectoryError, PermissionError, ValueError) as error:
        print(f"unseen: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("unseen: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
