"""`unseen serve`: what can be typed, and what it does."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from unseen.cli.address import is_loopback, port

FRAME_RATES = {"Wan": 24.0, "CogVideoX": 8.0}
"""Frames a second that models of these families were trained at; Wan 14B has 16."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    serve = known.add_parser(
        "serve",
        help="serve a model with erasers over HTTP",
        description="Serves clips (POST /generate) and prompt embeddings (POST /encode) with erasers attached, on this "
        "machine alone unless told otherwise. All erasers act on every request, unless --keys or --optional say "
        "otherwise; none can be switched off by a request. GET /health, /metrics, /erasers, /docs. "
        'Needs the extra: pip install "unseen[serve]".',
    )
    serve.add_argument(
        "--model", default="wan", metavar="ID", help="wan, cogvideox, a hub id or a folder (default: wan)"
    )
    serve.add_argument(
        "--eraser", action="append", default=[], metavar="SOURCE", help="a folder, or org/repo on the hub; repeatable"
    )
    serve.add_argument(
        "--optional",
        action="append",
        default=[],
        metavar="NAME",
        help="acts only where a request asks for it; repeatable",
    )
    serve.add_argument("--bare", action="store_true", help="serve without any eraser, to compare")
    serve.add_argument("--keys", type=Path, metavar="FILE", help="JSON: who may ask, and which erasers act on whom")
    serve.add_argument("--audit", type=Path, metavar="FILE", help="append a JSON line for each prompt")
    serve.add_argument(
        "--on-residual",
        choices=("erase", "refuse", "warn"),
        help="take away words that bring a concept back past its eraser; if that does not do, generate from the empty"
        " prompt, refuse the request, or say so",
    )
    serve.add_argument("--host", default="127.0.0.1", help="address to serve at (default: %(default)s, this machine)")
    serve.add_argument("--port", type=port, default=8000, help="port to serve at (default: %(default)s)")
    serve.add_argument("--workers", type=_count, default=1, metavar="N", help="requests at once (default: %(default)s)")
    serve.add_argument(
        "--queue", type=_count, default=16, metavar="N", help="requests that may wait (default: %(default)s)"
    )
    serve.add_argument(
        "--patience",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="longest wait of a request (default: %(default)g)",
    )
    serve.add_argument("--fps", type=float, metavar="X", help="frames a second of clips (default: the model's)")
    serve.add_argument("--call", metavar="JSON", help="arguments of the pipeline's call (default: the model's makers')")
    serve.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), help="of the weights")
    serve.add_argument("--device", metavar="DEVICE", help='where to compute, such as "cuda"')
    serve.add_argument("--offload", choices=("model", "group", "sequential"), help="keep components in main memory")
    serve.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Serve until it is interrupted."""
    from unseen.integrations.serving.web import require_packages

    require_packages()  # first what this command alone needs
    import uvicorn

    app = build(options)
    print(f"unseen: http://{options.host}:{options.port}/docs (Ctrl + C ends it)", file=sys.stderr)
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning")


def build(options: argparse.Namespace) -> Any:
    """The application that these options ask for.

    Raises:
        ServeError: nothing to erase and not --bare, an unknown name, a file of keys that is none.
        UnseenError: the model or an eraser cannot be loaded, or they do not fit each other.
    """
    import unseen
    from unseen.errors import ServeError
    from unseen.integrations.serving.policy import everybody, read_customers
    from unseen.integrations.serving.service import Limits, Service
    from unseen.integrations.serving.web import build_app
    from unseen.pipelines import backbone_of

    if options.bare and options.on_residual:
        raise ServeError(500, "--on-residual asks about what erasers leave; leave it or --bare out.")
    if bool(options.eraser) == options.bare:
        raise ServeError(500, "give at least one --eraser (unseen fit NAME makes one), or --bare and none.")
    call = json.loads(options.call) if options.call else None
    if call is not None and not isinstance(call, dict):
        raise ServeError(500, f"expected --call as a JSON object, got {options.call[:40]!r}.")
    erasers = [eraser for source in options.eraser for eraser in unseen.load_erasers(source)]
    unknown = sorted(set(options.optional) - {eraser.name for eraser in erasers})
    if unknown:
        raise ServeError(500, f"there is no eraser for {unknown[0]!r}, which --optional names.")
    if options.keys is not None and options.optional:
        raise ServeError(500, "--keys says which erasers act on whom; leave --optional out.")
    customers = read_customers(options.keys, erasers) if options.keys else everybody(erasers, options.optional)
    if not is_loopback(options.host) and options.keys is None:
        print(f"unseen: {options.host} can be reached by others, who may ask without a key (--keys).", file=sys.stderr)
    pipe, usual = _pipeline(options)
    known = backbone_of(pipe)
    diorama = usual is not None
    rate = options.fps or (8.0 if diorama else FRAME_RATES.get(known.name if known else "", 24.0))
    usual = usual if diorama else dict(known.generation) if known else {}
    limits = Limits(workers=options.workers, queue=options.queue, patience=options.patience)
    attached = {} if options.bare else {"audit": options.audit, "on_residual": options.on_residual}
    arguments: dict[str, Any] = call or usual or {}
    service = Service(pipe, erasers, call=arguments, limits=limits, **attached)
    if service.handle is not None:
        service.handle.warm_up(arguments.get("max_sequence_length"))
    return build_app(service, customers, frame_rate=rate)


def _pipeline(options: argparse.Namespace) -> tuple[Any, dict[str, Any] | None]:
    """The pipeline, and Diorama's own arguments of a call where it is that."""
    from unseen.cli.commands import require_extra

    require_extra()
    if options.model in ("wan", "cogvideox"):
        from unseen.diorama import GENERATION, load_pipeline

        return load_pipeline(options.model), dict(GENERATION)
    from unseen.pipelines import load

    return load(options.model, dtype=options.dtype, device=options.device, offload=options.offload), None


def _count(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of 1 or more")
    return number
