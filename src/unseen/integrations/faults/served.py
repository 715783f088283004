"""A small server with an eraser, in this process or in one of its own, and what its clients ask over the loopback."""

from __future__ import annotations

import http.client
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import unseen
from unseen.bench.faults import jobs
from unseen.bench.faults.fault import Broken, require
from unseen.bench.ways.tiny import make_eraser, make_pipe
from unseen.integrations.serving.policy import everybody
from unseen.integrations.serving.service import Limits, Service
from unseen.integrations.serving.web import build_app

TARGET = "a red zeppelin near the river"
LENGTH = 16
CALL = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 1, "max_sequence_length": LENGTH}
PASSES = 2
"""Of the denoiser for one request: one step, with guidance."""
ENCODE: Mapping[str, Any] = {"prompts": [TARGET], "max_sequence_length": LENGTH}
GENERATE: Mapping[str, Any] = {"prompt": TARGET, "format": "npy"}
SLOW = 0.03
"""Seconds more of a pass of the denoiser, where something is to happen in the middle of a request."""
_SENTENCE = 600
"""Characters that an answer to a refused request may have."""

jobs.PRELOADED += [
    __name__,
    "uvicorn",
    "diffusers.pipelines.wan.pipeline_wan",
    "diffusers.models.autoencoders.autoencoder_kl_wan",
    "diffusers.models.transformers.transformer_wan",
]
logging.getLogger("unseen").addHandler(logging.NullHandler())  # requests fail here on purpose


class Answer(NamedTuple):
    """What a client got."""

    status: int
    content: bytes
    headers: Mapping[str, str]
    """By their names in small letters."""

    @property
    def request_id(self) -> str:
        """Whose audit lines are the request's."""
        return self.headers.get("x-request-id", "")


@cache
def models() -> tuple[Any, unseen.ClearEraser]:
    """The same in every process: all of it comes from seeds."""
    torch.set_num_threads(1)
    pipe = make_pipe()
    return pipe, make_eraser(pipe.tokenizer, pipe.text_encoder)


@cache
def erased() -> torch.Tensor:
    """What the target is encoded as with the eraser, which is not what it is without."""
    pipe, eraser = models()
    options = {"max_sequence_length": LENGTH, "do_classifier_free_guidance": False}
    with torch.no_grad():
        plain = pipe.encode_prompt(TARGET, **options)[0]
        with unseen.attach(pipe, eraser):
            made = pipe.encode_prompt(TARGET, **options)[0]
    assert not torch.equal(made, plain)
    return made


class Server:
    """A server in a thread of this process, on the small pipeline; left, it is closed."""

    def __init__(
        self, audit: Path, *, limits: Limits | None = None, slow: float = 0.0, eraser: unseen.ClearEraser | None = None
    ) -> None:
        """Every pass of the denoiser takes `slow` seconds more. Raises what attaching raises."""
        import uvicorn

        pipe, own = models()
        erased()  # before anything is attached
        self.audit, self.passes = audit, 0
        chosen = [eraser or own]
        self.service = Service(pipe, chosen, call=CALL, limits=limits, audit=audit)

        def count(*_: Any) -> None:
            self.passes += 1
            time.sleep(slow)

        self._hook = pipe.transformer.register_forward_pre_hook(count)
        config = uvicorn.Config(build_app(self.service, everybody(chosen)), host="127.0.0.1", port=0, log_level=60)
        self._server = uvicorn.Server(config)
        socket = config.bind_socket()
        self.port: int = socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, args=([socket],), daemon=True)
        self._thread.start()

    def __enter__(self) -> Server:
        wait_for(self.port)
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.should_exit = True
        self._thread.join(jobs.WAIT)
        self._hook.remove()
        require(not self._thread.is_alive(), "the server does not end")

    def require_idle(self) -> None:
        """No request holds a place for ever."""
        until = time.monotonic() + jobs.WAIT
        while self.service.admitted and time.monotonic() < until:
            time.sleep(0.01)
        require(self.service.admitted == 0, "a place in the queue is lost")

    def require_right(self) -> None:
        """The next requests are edited and audited."""
        require_right(self.port, self.audit)


def serve(ready: Any, audit: Path, passes: Path, slow: float, room: int | None = None) -> None:
    """A server in a process of its own, until it is told to end; exit with 3 where it cannot start and that is said.

    Its port is what it tells. It leaves a byte in `passes` for every pass of the denoiser; no file may grow beyond
    `room` bytes.
    """
    import uvicorn

    pipe, eraser = models()
    if room is not None:
        jobs.starve(room)
    witness = os.open(passes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def count(*_: Any) -> None:
        os.write(witness, b".")
        time.sleep(slow)

    pipe.transformer.register_forward_pre_hook(count)
    try:
        app = build_app(Service(pipe, [eraser], call=CALL, audit=audit), everybody([eraser]))
    except OSError as error:
        sys.exit(3 if str(error) else 4)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level=60)
    socket = config.bind_socket()
    ready.send(socket.getsockname()[1])
    uvicorn.Server(config).run([socket])


def wait_for(port: int) -> None:
    """Until a server says that it is well."""
    until = time.monotonic() + jobs.WAIT
    while time.monotonic() < until:
        try:
            if ask(port, "/health", None, method="GET").status == 200:
                return
        except OSError:
            time.sleep(0.01)
    raise TimeoutError(f"no server got well at port {port} within {jobs.WAIT:.0f} s")


def ask(port: int, path: str, body: Any, *, method: str = "POST", **headers: str) -> Answer:
    """One request; `body` is sent as JSON unless it is bytes. Raises `OSError` where no answer comes."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=jobs.WAIT)
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    try:
        link.request(method, path, content, {"Content-Type": "application/json", **headers})
        response = link.getresponse()
        return Answer(response.status, response.read(), {n.lower(): v for n, v in response.headers.items()})
    except http.client.HTTPException as error:
        raise ConnectionError(f"no answer came ({type(error).__name__})") from error
    finally:
        link.close()


def audited(audit: Path) -> list[dict[str, Any]]:
    """The events of an audit log, every line of which must be whole."""
    content = audit.read_text(encoding="utf-8")
    require(not content or content.endswith("\n"), "the audit log ends in half a line")
    try:
        return [json.loads(line) for line in content.splitlines()]
    except ValueError as error:
        raise Broken(f"a line of the audit log is broken: {error}") from error


def encoded(audit: Path) -> list[str]:
    """The requests whose prompts are audited, one entry for each prompt."""
    return [event["request_id"] for event in audited(audit) if event["event"] == "encoded"]


def require_right(port: int, audit: Path) -> None:
    """A request for embeddings and one for a clip are answered, edited and audited."""
    from safetensors.torch import load

    answers = [ask(port, "/encode", ENCODE), ask(port, "/generate", GENERATE)]
    require([answer.status for answer in answers] == [200, 200], f"the next requests get {answers}")
    require(torch.equal(load(answers[0].content)["prompt_embeds"], erased()), "the next request is not edited")
    require(bool(np.frombuffer(answers[1].content, np.uint8).size), "the next clip is empty")
    fired = {event["request_id"]: event["fired"] for event in audited(audit) if event["event"] == "encoded"}
    require(all(fired.get(answer.request_id) for answer in answers), "the next requests are not audited")


def require_refused(answer: Answer, *statuses: int) -> None:
    """It is refused with one of these numbers and one sentence."""
    require(answer.status in statuses, f"expected {statuses}, got {answer.status}: {answer.content[:200]!r}")
    said = json.loads(answer.content)["detail"]
    require(isinstance(said, str) and 0 < len(said) <= _SENTENCE, f"no sentence: {answer.content[:200]!r}")
    require("\n" not in said and "Traceback" not in said, f"more than a sentence: {said[:200]}")
