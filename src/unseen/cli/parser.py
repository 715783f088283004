"""What can be typed: every command with its options and help."""

from __future__ import annotations

import argparse
from pathlib import Path

from unseen.cli import app, commands, measure, score
from unseen.cli.settings import add_settings

_DIORAMA = ("wan", "cogvideox")
_DTYPES = ("float32", "float16", "bfloat16")
_KINDS = ("object", "style", "identity", "attribute")


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
    known = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    demo = known.add_parser(
        "demo",
        help="erase a concept from the small built-in video model, measure it, and write a report",
        description="Fits an eraser for one concept, draws the same prompts from the same noise with and without it, "
        "and writes report.html, clips (GIF, MP4) and a contact sheet. Takes a few minutes on two cores.",
    )
    demo.add_argument("concept", nargs="?", help='what to erase, for instance "church" (default: French horn)')
    demo.add_argument("--concept", dest="concept_option", metavar="NAME", help="the same as naming it directly")
    demo.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder to write to (default: %(default)s)")
    _add_which(demo)
    demo.add_argument("--seed", type=int, default=0, help="seed of the fit and of the prompts (default: %(default)s)")
    demo.add_argument("--quick", action="store_true", help="a few clips only: for a first look, not for numbers")
    demo.set_defaults(run=commands.demo)

    fit = known.add_parser(
        "fit",
        help="learn to erase a concept and keep the eraser in a folder",
        description="Fits an eraser from the concept's name alone and writes it to a folder of some kilobytes. "
        "The video model's weights are neither needed for it nor changed by it.",
    )
    fit.add_argument(
        "name",
        nargs="+",
        help='what to erase, without an article: "French horn", "Tobias Inkwell", "burning"; several learn together',
    )
    _add_concept(fit)
    fit.add_argument("--replace-with", metavar="NAME", help="put this concept in its place")
    fit.add_argument(
        "--pairs", type=Path, metavar="FILE", help="your own prompt pairs: CSV or JSONL with positive, negative"
    )
    fit.add_argument(
        "--retain",
        type=Path,
        metavar="FILE",
        help="prompts of your own that are to stay as they are: .txt, CSV or JSONL",
    )
    fit.add_argument("--seed", type=int, default=0, help="seed of the fit (default: %(default)s)")
    fit.add_argument(
        "--encoder", metavar="NAME", help='which text encoder, where a model has several: "text_encoder_2", ...'
    )
    fit.add_argument("--out", type=Path, metavar="FOLDER", help="where to keep the eraser (default: erasers/NAME)")
    _add_model(fit)
    add_settings(fit)
    fit.set_defaults(run=commands.fit)

    prompts = known.add_parser(
        "prompts",
        help="show the prompts that a fit would be made of",
        description="Prints pairs of prompts, with the concept and without, and some of those that are to stay as they "
        "are. Nothing is loaded.",
    )
    prompts.add_argument("name", help="a concept as for `unseen fit`; with --pack a concept pack or a .json file")
    _add_concept(prompts)
    prompts.add_argument(
        "--use", metavar="USE", help='how the name is used: "theme", "worn", "activity", ... (default: guessed)'
    )
    prompts.add_argument("--count", type=_positive, default=10, metavar="N", help="pairs (default: %(default)s)")
    prompts.add_argument("--seed", type=int, default=0, help="seed of the prompts (default: %(default)s)")
    prompts.set_defaults(run=commands.prompts)

    generate = known.add_parser(
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
        "--offload",
        choices=("model", "group", "sequential"),
        help="keep components in main memory until they run",
    )
    generate.add_argument(
        "--audit", type=Path, metavar="FILE", help="append a JSON line for each prompt: which erasers fired, on what"
    )
    generate.add_argument(
        "--call", metavar="JSON", help="arguments of the pipeline call, for instance '{\"num_inference_steps\": 30}'"
    )
    generate.set_defaults(run=commands.generate)

    app.add_to(known)

    measure.add(known)

    plan = known.add_parser(
        "plan",
        help="say what a fit, a sweep and an evaluation of a model need, before anything is downloaded",
        description="Reads a pipeline's configuration files alone and prints memory, disk and rough times.",
    )
    plan.add_argument("--model", required=True, metavar="ID", help="a hub id or a diffusers pipeline folder")
    plan.add_argument("--revision", metavar="REF", help="branch, tag or commit on the hub")
    plan.add_argument("--dtype", choices=_DTYPES, default="bfloat16", help="of the weights (default: %(default)s)")
    _add_budget(plan)
    plan.add_argument(
        "--tflops", type=float, metavar="X", help="speed of the device meant, in TFLOP/s (default: this one, measured)"
    )
    plan.set_defaults(run=commands.plan)

    score.add(known)

    doctor = known.add_parser(
        "doctor",
        help="check the installation and say what to do",
        description="Looks at versions known to be broken, the device, Diorama's parts and the local hub cache.",
    )
    doctor.set_defaults(run=commands.doctor)

    train = known.add_parser(
        "train",
        help="train a part of the built-in video model (hours)",
        description="Trains one part of Diorama; interrupted training goes on from its last checkpoint. Further "
        "options are the part's own: unseen train vae --help.",
        add_help=False,
    )
    train.add_argument("part", nargs="?", choices=tuple(commands.TRAINERS), help="which part")
    train.add_argument("-h", "--help", action="store_true", help="show this help, or that of the part")
    train.set_defaults(run=commands.train, parser=train)
    return parser


def _add_which(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", choices=_DIORAMA, default="wan", help="which of the two built-in models (default: %(default)s)"
    )


def _add_concept(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kind", choices=_KINDS, default="object", help="what the name stands for (default: %(default)s)"
    )
    parser.add_argument(
        "--synonym", action="append", default=[], metavar="NAME", help="another word for it; may be repeated"
    )
    parser.add_argument("--pack", action="store_true", help="NAME is a concept pack: nudity, violence, ... or a file")
    parser.add_argument(
        "--languages", metavar="CODES", help='of a pack: which to write prompts in, such as "en,es" (default: all)'
    )
    parser.add_argument("--for", dest="person", metavar="NAME", help="whom a template such as `celebrity` is about")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="ID",
        help="a diffusers pipeline: a folder, a hub id, or one of the built-in diorama-wan (the default) and "
        "diorama-cogvideox",
    )
    parser.add_argument("--revision", metavar="REF", help="branch, tag or commit on the hub")
    parser.add_argument("--dtype", choices=_DTYPES, help="of the weights (default: as stored)")
    parser.add_argument("--device", metavar="D", help='"cuda", "cpu", ... or "balanced" over all GPUs (default: cpu)')


def _add_budget(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--memory-budget",
        type=float,
        metavar="GB",
        help="most that a fit may use, the text encoder included; layers are then trained in groups",
    )
