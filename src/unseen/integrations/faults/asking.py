"""What is asked of a server that no client should ask, and clients that leave or come in crowds."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch
from torch import nn

from unseen.bench.faults import jobs
from unseen.bench.faults.fault import Try, kind, require
from unseen.integrations.faults import served
from unseen.integrations.faults.served import ENCODE, GENERATE, PASSES, SLOW, TARGET, Server, ask
from unseen.integrations.serving.service import Limits


def _post(path: str, body: bytes, length: int) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


@kind
def a_client_leaves_in_the_middle_of_a_request() -> Iterator[tuple[str, Try]]:
    """What is generated is audited, no place in the queue is lost, and the next request is edited."""

    def attempt(folder: Path, after: float, how: str) -> None:
        body = json.dumps(GENERATE).encode()
        with Server(folder / "audit.jsonl", slow=SLOW) as server:
            link = socket.create_connection(("127.0.0.1", server.port))
            link.sendall(_post("/generate", body[: len(body) // 2] if how == "half a body" else body, len(body)))
            jobs.pause(after)
            if how == "reset":
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.close()
            server.require_right()
            server.require_idle()
            lines = len(served.encoded(server.audit))
            require(server.passes <= PASSES * (lines - 1), "something was generated that is not audited")

    for how in ("closed", "reset", "half a body"):
        for after in jobs.moments(5, 0.15, seed=len(how)):
            yield f"{how} after {after} s", partial(attempt, after=after, how=how)


def _innermost(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if not list(part.children())]


@kind
def a_part_of_the_model_fails_in_the_middle_of_a_request() -> Iterator[tuple[str, Try]]:
    """The client hears so in a sentence without inner matters, and the next request is edited."""

    def attempt(folder: Path, part: str, place: float, error: Exception) -> None:
        with Server(folder / "audit.jsonl") as server:
            modules = _innermost(getattr(server.service.pipe, part))
            hooks = [m.register_forward_hook(lambda *_: fail()) for m in modules[int(place * len(modules)) :]]

            def fail() -> None:
                for hook in hooks:
                    hook.remove()
                raise error

            answer = ask(server.port, "/generate", GENERATE)
            require(answer.status == 500, f"expected 500, got {answer.status}")
            served.require_refused(answer, 500)
            require(b"secret" not in answer.content, "what went wrong inside is told to the client")
            server.require_right()
            server.require_idle()

    errors = (
        RuntimeError("CUDA error: secret"),
        torch.OutOfMemoryError("secret"),
        KeyError("secret"),
        OSError("secret"),
    )
    for part, (place, error) in itertools.product(
        ("text_encoder", "transformer", "vae"), zip((0.0, 0.3, 0.6, 0.9), errors, strict=True)
    ):
        yield (
            f"{part}, {place:.0%} of the way, {type(error).__name__}",
            partial(attempt, part=part, place=place, error=error),
        )


@kind
def more_requests_come_than_the_queue_holds() -> Iterator[tuple[str, Try]]:
    """Each is edited and audited, or sent away in a sentence at once; no place is lost."""

    def attempt(folder: Path, requests: int, workers: int) -> None:
        from safetensors.torch import load

        with Server(folder / "audit.jsonl", limits=Limits(workers=workers, queue=3), slow=SLOW) as server:
            asked = [("/generate", GENERATE) if n % 3 == 0 else ("/encode", ENCODE) for n in range(requests)]
            with ThreadPoolExecutor(requests) as pool:
                answers = list(pool.map(lambda one: ask(server.port, *one), asked))
            fine = [answer for answer in answers if answer.status == 200]
            for (path, _), answer in zip(asked, answers, strict=True):
                if answer.status != 200:
                    served.require_refused(answer, 503)
                    require("retry-after" in answer.headers, "it is not said when to return")
                elif path == "/encode":
                    made = load(answer.content)["prompt_embeds"]
                    require(torch.equal(made, served.erased()), "something is not edited")
            require(0 < len(fine) < requests, f"{len(fine)} of {requests} were served")
            ids = sorted(answer.request_id for answer in fine)
            require(sorted(served.encoded(server.audit)) == ids, "answers and audit lines do not agree")
            server.require_idle()
            server.require_right()

    for requests, workers in itertools.product((12, 24, 48), (1, 2)):
        yield f"{requests} at once, {workers} served", partial(attempt, requests=requests, workers=workers)


def _bodies() -> dict[str, tuple[str, bytes]]:
    """What is sent, by what is wrong with it: path and body."""
    text = json.dumps(TARGET)
    to_encode = {
        "nothing": b"",
        "half an object": b'{"prompts": ["a zep',
        "not UTF-8": b'{"prompts": ["\xff\xfe"]}',
        "a list": b"[]",
        "a number": b"1",
        "null": b"null",
        "brackets without end": b"[" * 100_000,
        "objects in objects": b'{"prompts":' * 50_000,
        "a prompt that is no list": f'{{"prompts": {text}}}'.encode(),
        "prompts that are numbers": b'{"prompts": [1, 2]}',
        "prompts that are null": b'{"prompts": [null]}',
        "no prompt": b'{"prompts": []}',
        "too many prompts": json.dumps({"prompts": [TARGET] * 1000}).encode(),
        "a prompt that is too long": json.dumps({"prompts": ["zeppelin " * 5000]}).encode(),
        "half of a pair of surrogates": b'{"prompts": ["a zeppelin \\ud800"]}',
        "half of a pair where a number belongs": b'{"prompts": ["a"], "max_sequence_length": "\\ud800"}',
        "a length of 0": f'{{"prompts": [{text}], "max_sequence_length": 0}}'.encode(),
        "a length beyond all": f'{{"prompts": [{text}], "max_sequence_length": 1e300}}'.encode(),
        "a number of a million digits": b'{"prompts": ["a"], "max_sequence_length": 1' + b"0" * 900_000 + b"}",
        "an unknown field": f'{{"prompts": [{text}], "eraser": {{}}}}'.encode(),
        "a thousand unknown fields": json.dumps({"prompts": [TARGET], **{f"x{n}": n for n in range(1000)}}).encode(),
        "erasers as a list": f'{{"prompts": [{text}], "erasers": ["zeppelin"]}}'.encode(),
        "an eraser that is not there": f'{{"prompts": [{text}], "erasers": {{"lemon": 1}}}}'.encode(),
        "a strength of NaN": f'{{"prompts": [{text}], "erasers": {{"zeppelin": NaN}}}}'.encode(),
        "a strength of minus infinity": f'{{"prompts": [{text}], "erasers": {{"zeppelin": -Infinity}}}}'.encode(),
        "a strength of nought": f'{{"prompts": [{text}], "erasers": {{"zeppelin": 0}}}}'.encode(),
        "eight megabytes": b'{"prompts": ["' + b"a" * (8 << 20) + b'"]}',
        "eight megabytes of blanks": b" " * (8 << 20),
    }
    to_generate = {
        "a prompt in a list": f'{{"prompt": [{text}]}}'.encode(),
        "a seed below 0": f'{{"prompt": {text}, "seed": -1}}'.encode(),
        "a seed of half": f'{{"prompt": {text}, "seed": 0.5}}'.encode(),
        "a seed beyond 64 bits": f'{{"prompt": {text}, "seed": {1 << 70}}}'.encode(),
        "a path as the format": f'{{"prompt": {text}, "format": "../../x"}}'.encode(),
        "no frames a second": f'{{"prompt": {text}, "fps": 0}}'.encode(),
        "frames a second of NaN": f'{{"prompt": {text}, "fps": NaN}}'.encode(),
        "a picture too large": f'{{"prompt": {text}, "height": 4096, "width": 4096}}'.encode(),
        "an odd size": f'{{"prompt": {text}, "height": 33, "width": 33}}'.encode(),
        "a million steps": f'{{"prompt": {text}, "num_inference_steps": 1000000}}'.encode(),
        "guidance of NaN": f'{{"prompt": {text}, "guidance_scale": NaN}}'.encode(),
    }
    return {name: ("/encode", body) for name, body in to_encode.items()} | {
        name: ("/generate", body) for name, body in to_generate.items()
    }


@kind
def a_request_means_nothing() -> Iterator[tuple[str, Try]]:
    """It is refused in a sentence of bounded length, nothing is generated, and the next request is edited."""

    def attempt(folder: Path, path: str, body: bytes) -> None:
        with Server(folder / "audit.jsonl") as server:
            try:
                answer = ask(server.port, path, body)
            except OSError:  # it was sent away before it had said all
                require(len(body) > server.service.limits.body, "the link was cut")
            else:
                served.require_refused(answer, 400, 403, 413, 422)
            require(server.passes == 0 and not served.encoded(server.audit), "something was encoded")
            server.require_right()

    for name, (path, body) in _bodies().items():
        yield name, partial(attempt, path=path, body=body)


@kind
def a_body_comes_in_pieces_without_end() -> Iterator[tuple[str, Try]]:
    """It is refused before it is held in memory, and the next request is edited."""

    def attempt(folder: Path, piece: int) -> None:
        with Server(folder / "audit.jsonl") as server:
            link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=jobs.WAIT)
            sent = itertools.count()
            pieces = (b" " * piece for _ in itertools.takewhile(lambda n: n * piece < 1 << 26, sent))
            try:
                link.request("POST", "/encode", pieces, {"Content-Type": "application/json"}, encode_chunked=True)
                status = link.getresponse().status
            except (OSError, http.client.HTTPException):  # cut off
                status = 413
            finally:
                link.close()
            require(status == 413, f"expected 413, got {status}")
            require(next(sent) * piece < 1 << 26, "all of it was read")
            server.require_right()

    for piece in (1 << 12, 1 << 16, 1 << 20):
        yield f"of {piece} bytes", partial(attempt, piece=piece)
