"""One way past attached erasers, and how what came of it is called."""

from __future__ import annotations

import contextvars
import inspect
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from unseen.bench.ways.scene import Scene, wan
from unseen.errors import UnseenError
from unseen.runtime.context.proofs import LEDGER

Right = Literal["erased", "refused", "unchanged", "waits"]
"""`erased`: the denoiser is given the erased embedding, bit for bit. `refused`: an `UnseenError` before it is given
anything else. `unchanged`: a legitimate use, which works and gives exactly what it should. `waits`: callers wait for
each other, and each gets what it would get alone."""
UNERASED, WRONG_REFUSAL = "silently unerased", "wrong refusal"


@dataclass(frozen=True)
class Way:
    """Something to try."""

    family: str
    name: str
    right: Right
    tried: str
    """In words."""
    run: Callable[[Scene], None]
    scene: Callable[[], Scene]
    slow: bool = False


class Result(NamedTuple):
    """What came of a way."""

    way: Way
    outcome: str
    """"right", "silently unerased", "wrong refusal", "crash" or "other"."""
    detail: str
    seconds: float


_REGISTERED: list[Way] = []


def way(
    right: Right, *, scene: Callable[[], Scene] = wan, slow: bool = False, name: str | None = None, tried: str = ""
) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    """Register a function as a way. Its module's name is the family, its docstring says what is tried."""

    def register(run: Callable[[Scene], None]) -> Callable[[Scene], None]:
        family = run.__module__.rpartition(".")[2].replace("_", " ")
        said = (tried or inspect.getdoc(run) or "").partition("\n\n")[0].replace("\n", " ")
        _REGISTERED.append(Way(family, name or run.__name__.replace("_", " "), right, said, run, scene, slow))
        return run

    return register


def registered() -> list[Way]:
    """All ways of the modules that were imported."""
    return list(_REGISTERED)


def attempt(one: Way) -> Result:
    """Try a way as if in a process of its own: nothing is known of embeddings, and no call is under way."""
    begin = time.perf_counter()
    LEDGER._known.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome, detail = contextvars.Context().run(_outcome, one)
    return Result(one, outcome, detail, time.perf_counter() - begin)


def _own(error: BaseException) -> bool:
    """Whether it is the pipeline itself that cannot take what it is given, and nothing of this library is to blame."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    ours = [n for n, file in enumerate(files) if "/unseen/" in file and "/bench/" not in file]
    theirs = [n for n, file in enumerate(files) if "/diffusers/" in file]
    return bool(theirs) and theirs[-1] > max(ours, default=-1)


def _outcome(one: Way) -> tuple[str, str]:
    error: BaseException | None = None
    scene = one.scene()
    try:
        one.run(scene)
    except Exception as raised:
        error = raised
    scene.look_through_the_log()
    wrong = [finding for finding in scene.findings if not finding.fine]
    if any(finding.unerased for finding in wrong):
        return UNERASED, next(finding.what for finding in wrong if finding.unerased)
    said = "" if error is None else f"{type(error).__name__}: {error}"
    refused = isinstance(error, UnseenError) or (one.right == "refused" and error is not None and _own(error))
    if error is not None and not refused:
        return "crash", said
    if wrong:
        return "other", wrong[0].what
    if one.right == "refused":
        return ("right", said) if refused else ("other", "nothing was refused, nothing unerased was seen")
    if error is not None:
        return WRONG_REFUSAL, said
    return ("right", "") if scene.findings else ("other", "nothing was seen")
