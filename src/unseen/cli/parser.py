"""What can be typed: the commands, and how a wrong word is answered."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from unseen.cli.commands import complain, did_you_mean, hinted
from unseen.cli.measuring import ENGINES as ENGINES
from unseen.cli.measuring import EVALUATIONS as EVALUATIONS

COMMANDS = (
    *("demo", "fit", "prompts", "generate", "app", "serve"),
    *("score", "evaluate", "sweep", "ablate", "attack", "report"),
    *("list", "inspect", "plan", "doctor", "completion", "train"),
)
"""Every command is the module of that name in this folder, with a function `add_to` that adds it to argparse's
subparsers."""
_EXIT_CODES = """\
exit codes:
  0    done
  1    done, and something was found: doctor has a problem to tell, score could not read a file, a way past an eraser
       worked, or an eraser that is inspected did not work by its own fit
  2    nothing done: the command, or a file or package that it needs, has to be changed
  3    the fit ran through, and by its held-out prompts it does not work
  130  interrupted (Ctrl + C); the last line says what is kept

Start with: unseen demo. Each command explains itself: unseen fit --help."""


class Parser(argparse.ArgumentParser):
    """Answers a wrong word with one sentence and a hint."""

    def __init__(self, **options: Any):
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end with 2."""
        complain(hinted(self._sentence(message), f"Try: {self.prog} --help"))
        self.exit(2)

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """Say which words are not understood."""
        word = words[0].partition("=")[0]
        known = [flag for action in self._actions for flag in action.option_strings]
        self.error(f"{word!r} is not understood{did_you_mean(word, known) if word.startswith('-') else ''}")

    def _sentence(self, message: str) -> str:
        wrong = re.match(r"argument COMMAND: invalid choice: '(.*?)' \(", message)
        if wrong:
            return f"there is no command {wrong[1]!r}{did_you_mean(wrong[1], COMMANDS)}"
        missing = re.match(r"the following arguments are required: (.*)", message)
        if missing:
            return f"expected {missing[1].upper()}, got nothing"
        return message.removeprefix("argument ")


def build_parser(only: str | None = None) -> Parser:
    """The parser with all commands, or with no other than `only`; `options.run(options)` carries out the chosen one."""
    parser = Parser(
        prog="unseen",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Erase concepts from text-to-video diffusion models without touching their weights.",
        epilog=_EXIT_CODES,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print versions and leave")
    known = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS if only is None else (only,):
        import_module(f"unseen.cli.{name}").add_to(known)
    for command in known.choices.values():
        command.set_defaults(parser=command)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import platform

        from unseen import __version__
        from unseen.doctor import installed

        others = ("torch", "transformers", "diffusers")
        versions = [f"{name} {installed(name) or 'not installed'}" for name in others]
        print(f"unseen {__version__} (Python {platform.python_version()}, {', '.join(versions)})")
        parser.exit(0)
