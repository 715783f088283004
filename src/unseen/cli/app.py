"""`unseen app`: what can be typed, and what it does."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from unseen.cli.address import is_loopback, port


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    app = known.add_parser(
        "app",
        help="open a web page on which concepts are erased and looked at",
        description="Serves a page for people who never read the paper: learn an eraser, draw prompts before and "
        "after, turn its strength, stack several. On this machine alone, with the small built-in model, unless told "
        "otherwise. "
        'Needs the extra: pip install "unseen[app]".',
    )
    app.add_argument("--host", default="127.0.0.1", help="address to serve at (default: %(default)s, this machine)")
    app.add_argument("--port", type=port, default=7860, help="port to serve at (default: %(default)s)")
    app.add_argument(
        "--model", default="wan", metavar="ID", help="wan, cogvideox, a hub id or a pipeline folder (default: wan)"
    )
    app.add_argument("--erasers", type=Path, metavar="FOLDER", help="offer the erasers in this folder")
    app.add_argument("--runs", type=Path, default=Path("runs"), help="where reports lie (default: %(default)s)")
    app.add_argument(
        "--open", action=argparse.BooleanOptionalAction, default=True, help="open a browser (default: yes)"
    )
    app.set_defaults(run=serve, interrupted="the page is closed; erasers that were not downloaded are gone")


def serve(options: argparse.Namespace) -> None:
    """Serve the page until it is interrupted."""
    from unseen.app.models import Models, Settings
    from unseen.app.page import gradio, serve
    from unseen.cli.commands import UsageError, require_extra

    gradio()  # first what this command alone needs
    require_extra()
    if options.erasers is not None and not options.erasers.is_dir():
        raise UsageError(f"There is no folder {options.erasers}: make erasers with `unseen fit NAME`.")
    if not is_loopback(options.host):
        print(
            f"unseen: {options.host} can be reached by others, who may use the page without a password.",
            file=sys.stderr,
        )
    models = Models(Settings(options.model))
    models.get(options.model)  # an empty name is refused now
    print(f"unseen: http://{options.host}:{options.port} (Ctrl + C ends it)", file=sys.stderr)
    serve(models, options.erasers, options.runs, host=options.host, port=options.port, opens=options.open)
