"""`unseen serve` under load, on this machine: is anything unedited or lost, and what do erasers cost a request?

    python benchmarks/serving.py [--requests 500] [--clients 8] [--results docs/results-serving.md]

Two servers of their own processes serve the same tiny real `WanPipeline` (random weights, 32 wide), one with two
planted erasers and one bare. Clients ask over the loopback in turns for embeddings, every tenth time for a clip, each
with its own choice of erasers. The bare server gets the same requests. What comes back is compared, bit for bit, with
what the same pipeline gives in this process under the same choice. A client that is told that the queue is full waits
and asks again; a request is lost if it never gets an answer.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load

import unseen
from unseen.bench.ways.tiny import make_eraser, make_pipe

WORDS = ("zeppelin", "wolf")
PROMPTS = (
    "a red zeppelin near the river",
    "a blue wolf near the river",
    "a zeppelin and a wolf in the garden",
    "a lemon on the table",
)
CHOICES: tuple[dict[str, float | None], ...] = (
    {"zeppelin": None}, {"wolf": None}, {"zeppelin": None, "wolf": None}, {"zeppelin": 0.5}, {},
)  # fmt: skip
CALL = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2, "max_sequence_length": 16}
CLIP_EVERY = 10
QUEUE = 4
"""Shorter than the clients are many, so that some are sent away and come again."""


def models() -> tuple[Any, list[unseen.ClearEraser]]:
    """The same in every process: all of it comes from seeds."""
    torch.set_num_threads(1)
    pipe = make_pipe()
    return pipe, [make_eraser(pipe.tokenizer, pipe.text_encoder, word=word) for word in WORDS]


def serve(bare: bool, audit: str, told: Connection) -> None:
    """One server, until its process is ended; tells its port."""
    import uvicorn

    from unseen.integrations.serving.policy import everybody
    from unseen.integrations.serving.service import Limits, Service
    from unseen.integrations.serving.web import build_app

    pipe, erasers = models()
    if bare:
        service = Service(pipe, [], call=CALL, limits=Limits(queue=QUEUE))
    else:
        service = Service(pipe, erasers, call=CALL, limits=Limits(queue=QUEUE), audit=audit)
    app = build_app(service, everybody([] if bare else erasers, [] if bare else WORDS))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    sockets = [server.config.bind_socket()]
    told.send(sockets[0].getsockname()[1])
    server.run(sockets)


@dataclass
class Request:
    """What one client asks for."""

    number: int
    prompt: str
    choice: dict[str, float | None]

    @property
    def clip(self) -> bool:
        return self.number % CLIP_EVERY == CLIP_EVERY - 1

    def body(self, bare: bool) -> tuple[str, dict[str, Any]]:
        asked: dict[str, Any] = {} if bare else {"erasers": self.choice}
        if self.clip:
            return "/generate", {"prompt": self.prompt, "seed": self.number, "format": "npy", **asked}
        return "/encode", {"prompts": [self.prompt], "max_sequence_length": CALL["max_sequence_length"], **asked}


@dataclass
class Outcome:
    """What came of all requests to one server."""

    seconds: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})
    """Of embeddings (False) and clips (True), waiting for a place included."""
    sent_away: int = 0
    answers: dict[int, np.ndarray] = field(default_factory=dict)
    ids: dict[int, str] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    wall: float = 0.0


def wait_for(port: int) -> None:
    """Until the server says that it is well."""
    for _ in range(600):
        try:
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            link.request("GET", "/health")
            if link.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not get well within a minute")


def ask_all(port: int, requests: list[Request], clients: int, bare: bool) -> Outcome:
    """All requests, `clients` at a time."""
    outcome = Outcome()

    def answered(link: http.client.HTTPConnection, path: str, body: str) -> tuple[http.client.HTTPResponse, bytes]:
        while True:
            link.request("POST", path, body, {"Content-Type": "application/json"})
            response = link.getresponse()
            content = response.read()
            if response.status != 503:
                return response, content
            outcome.sent_away += 1
            time.sleep(0.02)

    def client(own: list[Request]) -> None:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for request in own:
            path, body = request.body(bare)
            began = time.perf_counter()
            try:
                response, content = answered(link, path, json.dumps(body))
            except (OSError, http.client.HTTPException) as error:
                outcome.lost[type(error).__name__] += 1
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
                continue
            if response.status != 200:
                outcome.lost[f"{response.status} {content[:200]!r}"] += 1
                continue
            outcome.seconds[request.clip].append(time.perf_counter() - began)
            outcome.ids[request.number] = response.headers["X-Request-Id"]
            outcome.answers[request.number] = (
                np.load(io.BytesIO(content)) if request.clip else load(content)["prompt_embeds"].numpy()
            )

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, [requests[n::clients] for n in range(clients)]))
    outcome.wall = time.perf_counter() - began
    return outcome


def expected(requests: list[Request]) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """What each request should come to with its choice of erasers, and without any."""
    pipe, erasers = models()
    known: dict[Any, np.ndarray] = {}

    def one(request: Request, choice: dict[str, float | None], handle: unseen.Handle) -> np.ndarray:
        mark = (request.prompt, tuple(sorted(choice.items(), key=str)), request.number if request.clip else None)
        if mark not in known:
            with torch.no_grad(), handle.using(choice):
                if request.clip:
                    noise = torch.Generator("cpu").manual_seed(request.number)
                    frames = np.asarray(pipe(request.prompt, generator=noise, output_type="np", **CALL).frames[0])
                    known[mark] = (frames * 255).round().clip(0, 255).astype(np.uint8)
                else:
                    length = CALL["max_sequence_length"]
                    made = pipe.encode_prompt(
                        [request.prompt], max_sequence_length=length, do_classifier_free_guidance=False
                    )
                    known[mark] = made[0].numpy()
        return known[mark]

    with unseen.attach(pipe, erasers) as handle:
        chosen = {r.number: one(r, r.choice, handle) for r in requests}
        bare = {r.number: one(r, {}, handle) for r in requests}
    return chosen, bare


def concerned(request: Request) -> bool:
    """Whether the request's erasers act on its prompt."""
    return any(name in request.prompt.split() for name in request.choice)


def run(count: int, clients: int) -> dict[str, Any]:
    """Both servers, all requests; what came of them."""
    requests = [  # so that clips too, every tenth, meet all prompts and choices
        Request(n, PROMPTS[(n + n // CLIP_EVERY) % len(PROMPTS)], CHOICES[n // 3 % len(CHOICES)]) for n in range(count)
    ]
    chosen, bare = expected(requests)
    context = multiprocessing.get_context("spawn")
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="unseen-") as folder:
        audit = str(Path(folder) / "audit.jsonl")
        for name in ("bare", "erasers"):
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(name == "bare", audit, there), daemon=True)
            process.start()
            if not here.poll(120):
                raise SystemExit("the server did not start within two minutes")
            port = here.recv()
            wait_for(port)
            ask_all(port, requests[: 2 * CLIP_EVERY], 1, name == "bare")  # warm, and not counted
            outcomes[name] = ask_all(port, requests, clients, name == "bare")
            process.terminate()
            process.join(30)
        lines = [json.loads(line) for line in Path(audit).read_text(encoding="utf-8").splitlines()]
    guarded, plain = outcomes["erasers"], outcomes["bare"]
    logged = Counter(line.get("request_id") for line in lines if line["event"] == "encoded")
    acting = [r for r in requests if concerned(r)]
    unedited = [
        r.number for r in acting if r.number in guarded.answers and same(guarded.answers[r.number], bare[r.number])
    ]
    wrong = [n for n, answer in guarded.answers.items() if not same(answer, chosen[n])]
    return {
        "requests": count,
        "clients": clients,
        "concerned": len(acting),
        "clips concerned": sum(r.clip for r in acting),
        "told apart": sum(not same(chosen[r.number], bare[r.number]) for r in acting),
        "unedited": len(unedited),
        "not as expected": len(wrong),
        "lost": count - len(guarded.answers),
        "why lost": dict(guarded.lost),
        "without an audit line": sum(logged[i] != 1 for i in guarded.ids.values()),
        "bare: not as expected": sum(not same(answer, bare[n]) for n, answer in plain.answers.items()),
        "bare: lost": count - len(plain.answers),
        **{
            f"{name}: {what}": value
            for name, outcome in outcomes.items()
            for what, value in {
                "sent away": outcome.sent_away,
                "per second": len(outcome.answers) / outcome.wall,
                "embeddings": outcome.seconds[False],
                "clips": outcome.seconds[True],
            }.items()
        },
    }


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Bit for bit."""
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def page(facts: dict[str, Any]) -> str:
    """The results as Markdown."""
    rows = []
    for kind in ("embeddings", "clips"):
        bare = statistics.median(facts[f"bare: {kind}"])
        for name in ("bare", "erasers"):
            times = sorted(facts[f"{name}: {kind}"])
            middle, late = statistics.median(times), times[min(len(times) - 1, round(0.95 * len(times)))]
            ms = " | ".join(f"{1000 * value:.0f}" for value in (middle, late, times[-1]))
            rows.append(f"| {kind} | {name} | {len(times)} | {ms} | {middle / bare:.2f} |")
    counts = {
        f"requests whose erasers concern their prompt ({facts['clips concerned']} of them for clips)": facts[
            "concerned"
        ],
        "of these, unedited": facts["unedited"],
        "answers that differ from what the pipeline gives under the same choice": facts["not as expected"],
        "requests lost": facts["lost"],
        "answers without their line in the audit log": facts["without an audit line"],
        "times that a client was sent away by a full queue and came again": facts["erasers: sent away"],
    }
    return f"""# A server under load

Generated by `python benchmarks/serving.py --results docs/results-serving.md`; not edited by hand.

{facts["clients"]} clients sent {facts["requests"]} requests over the loopback to the application of `unseen serve`,
each with its own choice among two erasers, every tenth for a clip and the others for embeddings. One worker, a queue
of {QUEUE}. The model is a tiny real `WanPipeline` with random weights: this counts mix-ups and shows what the server
and the erasers add to a request, not how fast a real model is. Clients and server share {os.cpu_count()} processor
cores.

| what | count |
| --- | --- |
{chr(10).join(f"| {name} | {value} |" for name, value in counts.items())}

Every answer is compared bit for bit with the same pipeline's in another process. In {facts["told apart"]} of the
{facts["concerned"]} requests that an eraser concerns, the erased answer differs from the bare one, so that an unedited
one would be seen.

Latency as the client sees it, waiting for a place in the queue included (ms):

| request | server | answers | median | 95th percentile | longest | median, bare = 1 |
| --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(rows)}

Requests per second: {facts["bare: per second"]:.0f} bare, {facts["erasers: per second"]:.0f} with erasers.
"""


def main() -> int:
    """Run it; returns 1 if anything was unedited, wrong or lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--results", type=Path, metavar="FILE", help="write a page of results")
    options = parser.parse_args()
    facts = run(options.requests, options.clients)
    text = page(facts)
    print(text)
    if facts["why lost"]:
        print("lost:", facts["why lost"])
    if options.results is not None:
        options.results.write_text(text, encoding="utf-8")
    fine = ("unedited", "not as expected", "lost", "without an audit line", "bare: not as expected", "bare: lost")
    return int(any(facts[name] for name in fine) or facts["told apart"] != facts["concerned"])


if __name__ == "__main__":
    raise SystemExit(main())
