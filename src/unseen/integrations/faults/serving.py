"""A server that is killed, starved or cut off from its files while it serves."""

from __future__ import annotations

import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import unseen
from unseen.bench.faults import jobs
from unseen.bench.faults.fault import Try, kind, require
from unseen.integrations.faults import served
from unseen.integrations.faults.served import ENCODE, GENERATE, PASSES, SLOW, Server, ask
from unseen.runtime import audit as auditing


@contextmanager
def _clients(port: int, count: int) -> Iterator[list[str]]:
    """Clients that ask for clips until the server is gone; the requests that were answered."""
    answered: list[str] = []

    def ask_on() -> None:
        while True:
            try:
                answer = ask(port, "/generate", GENERATE)
            except OSError:
                return
            if answer.status == 200:
                answered.append(answer.request_id)

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(ask_on) for _ in range(count)]
        yield answered
    for future in futures:
        future.result()


def _ended(folder: Path, after: float, end: Callable[[jobs.Process], None]) -> None:
    log, passes = folder / "audit.jsonl", folder / "passes"
    process = jobs.Process(served.serve, log, passes, SLOW)
    try:
        served.wait_for(process.told)
        with _clients(process.told, 3) as answered:
            jobs.pause(after)
            end(process)
    finally:
        process.kill()
    before = log.read_bytes()
    with Server(log) as server:
        server.require_right()
    asked = served.encoded(log)
    require(set(answered) <= set(asked), "an answered request is not audited")
    require(passes.stat().st_size <= PASSES * (len(asked) - 2), "something was generated that is not audited")
    require(log.read_bytes().startswith(before[: before.rfind(b"\n") + 1]), "the audit log has lost a line")


@kind
def a_server_is_killed_in_the_middle_of_requests() -> Iterator[tuple[str, Try]]:
    """Started again, it edits; every line of the audit log is whole, every answer is in it, and nothing was generated
    that is not."""

    def attempt(folder: Path, after: float) -> None:
        _ended(folder, after, lambda process: process.kill())

    for after in jobs.moments(12, 0.5, seed=7):
        yield f"after {after} s", partial(attempt, after=after)


@kind
def a_server_is_told_to_end_in_the_middle_of_requests() -> Iterator[tuple[str, Try]]:
    """It finishes what it has begun and ends; started again, it edits, and nothing is missing in the audit log."""

    def end(process: jobs.Process) -> None:
        process.tell_to_end()
        process.end()

    def attempt(folder: Path, after: float) -> None:
        _ended(folder, after, end)

    for after in jobs.moments(8, 0.5, seed=8):
        yield f"after {after} s", partial(attempt, after=after)


@kind
def half_a_line_of_audit_is_left() -> Iterator[tuple[str, Try]]:
    """It is cut off, nothing else is, and the log goes on in whole lines."""

    def attempt(folder: Path, end: bytes, stays: bool) -> None:
        log = folder / "audit.jsonl"
        whole = b'{"time": "2026-01-01T00:00:00.000+00:00", "event": "attached", "erasers": []}\n'
        log.write_bytes(whole + end)
        with Server(log) as server:
            server.require_right()
        content = log.read_bytes()
        require(content.startswith(whole), "a whole line is gone")
        require(
            content.startswith(whole + end + b"\n") == stays, "a whole line is gone" if stays else "half a line stays"
        )

    line = b'{"time": "2026-01-01T00:00:01.000+00:00", "event": "encoded", "request_id": "x", "fired": ["' + b"z" * 9000
    for share in (0.0003, 0.002, 0.01, 0.5, 0.9, 1.0):
        yield f"{share:.2%} of it", partial(attempt, end=line[: int(share * len(line))], stays=False)
    yield "all but its end", partial(attempt, end=line + b'"]}', stays=True)


@kind
def the_disk_is_full_while_a_server_audits() -> Iterator[tuple[str, Try]]:
    """Requests are refused in a sentence before anything is generated, no half line stays, and with room again it
    goes on."""

    def attempt(folder: Path, room: int) -> None:
        log, passes = folder / "audit.jsonl", folder / "passes"
        process = jobs.Process(served.serve, log, passes, 0.0, room)
        if process.told is None:
            require(process.end() == 3, "it did not start, and did not say why")
            require(served.audited(log) == [], "half a line is left")
            return
        try:
            served.wait_for(process.told)
            answers = [ask(process.told, "/encode", ENCODE) for _ in range(1 + room // 100)]
            refused = [answer for answer in answers if answer.status != 200]
            require(bool(refused), "the disk was not full")
            for answer in refused:
                served.require_refused(answer, 500)
            served.require_refused(ask(process.told, "/generate", GENERATE), 500)
            require(passes.stat().st_size == 0, "something was generated that is not audited")
            require(len(served.encoded(log)) == len(answers) - len(refused), "answers and audit lines do not agree")
            process.give_room()
            served.require_right(process.told, log)
        finally:
            process.kill()

    for room in (0, 60, 200, 400, 700, 1000, 1500, 3000):
        yield f"after {room} bytes", partial(attempt, room=room)


@kind
def the_audit_file_cannot_be_written_to() -> Iterator[tuple[str, Try]]:
    """Requests are refused in a sentence before anything is generated, and when it can be, they are served."""

    def attempt(folder: Path, how: str) -> None:
        place = folder / "logs"
        place.mkdir()
        log = place / "audit.jsonl"
        with Server(log) as server:
            server.require_right()
            passes, aside = server.passes, folder / "aside"
            if how == "its folder is gone":
                place.rename(aside)
            else:
                log.rename(aside)
                {
                    "a device that is full": lambda: log.symlink_to("/dev/full"),
                    "a folder in its place": log.mkdir,
                    "a link to nowhere": lambda: log.symlink_to(folder / "nowhere" / "audit.jsonl"),
                    "a link to itself": lambda: log.symlink_to(log),
                }[how]()
            for path, body in (("/encode", ENCODE), ("/generate", GENERATE)):
                served.require_refused(ask(server.port, path, body), 500)
            require(server.passes == passes, "something was generated that is not audited")
            if how == "a folder in its place":
                log.rmdir()
            elif log.is_symlink():
                log.unlink()
            aside.rename(place if how == "its folder is gone" else log)
            server.require_right()

    for how in (
        *("a device that is full", "a folder in its place", "a link to nowhere", "a link to itself"),
        "its folder is gone",
    ):
        yield how, partial(attempt, how=how)


@kind
def the_audit_file_is_taken_away() -> Iterator[tuple[str, Try]]:
    """It is made anew, as whoever turns logs over expects; no line is lost in what was taken or in what was made."""

    def attempt(folder: Path, keep: bool) -> None:
        log = folder / "audit.jsonl"
        with Server(log) as server:
            server.require_right()
            if keep:
                log.rename(folder / "old.jsonl")
                require(len(served.encoded(folder / "old.jsonl")) == 2, "a line is lost in what was taken away")
            else:
                log.unlink()
            server.require_right()
            require(len(served.encoded(log)) == 2, "a line is lost in what was made anew")

    yield "deleted", partial(attempt, keep=False)
    yield "renamed", partial(attempt, keep=True)


@kind
def an_eraser_file_changes_while_it_is_served() -> Iterator[tuple[str, Try]]:
    """The eraser that was loaded goes on acting as it was."""

    def attempt(folder: Path, how: str) -> None:
        home = folder / "eraser"
        served.models()[1].save_pretrained(home)
        with Server(folder / "audit.jsonl", eraser=unseen.ClearEraser.from_pretrained(home)) as server:
            for path in home.iterdir():
                if how == "deleted":
                    path.unlink()
                elif how == "cut off":
                    with path.open("r+b") as file:
                        file.truncate(10)
                elif how == "written over with noughts":
                    with path.open("r+b") as file:
                        file.write(bytes(path.stat().st_size))
            if how == "its folder is gone":
                shutil.rmtree(home)
            elif how == "exchanged":
                jobs.eraser(1).save_pretrained(home)
            server.require_right()

    for how in ("deleted", "cut off", "written over with noughts", "its folder is gone", "exchanged"):
        yield how, partial(attempt, how=how)


@kind
def two_servers_write_one_audit_file() -> Iterator[tuple[str, Try]]:
    """Every line is whole, however long, and every answer has its own."""

    def attempt(folder: Path, words: int) -> None:
        log = folder / "audit.jsonl"
        both = [jobs.Process(served.serve, log, folder / f"passes{number}", 0.0) for number in range(2)]
        body = {"prompts": ["zeppelin " * words] * 8, "max_sequence_length": words + 2}
        answers: list[served.Answer] = []
        try:
            for process in both:
                served.wait_for(process.told)
            threads = [
                threading.Thread(target=lambda port=port: answers.extend(ask(port, "/encode", body) for _ in range(6)))
                for port in [process.told for process in both] * 2
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            for process in both:
                process.kill()
        require([answer.status for answer in answers] == [200] * 24, "a request was not answered")
        ids = sorted([answer.request_id for answer in answers] * 8)
        require(sorted(served.encoded(log)) == ids, "answers and audit lines do not agree")

    for words in (4, 100, 400):
        yield f"{words} words a prompt", partial(attempt, words=words)


@kind
def the_clock_jumps_while_it_serves() -> Iterator[tuple[str, Try]]:
    """Requests are served and audited in their order, and none counts as one that waited too long."""

    def attempt(folder: Path, seconds: float) -> None:
        real, calls = time.time, itertools.count()

        class Clock(auditing.datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return cls.fromtimestamp(real() + seconds * (next(calls) % 2), tz)

        with (
            Server(folder / "audit.jsonl") as server,
            mock.patch("time.time", lambda: real() + seconds * (next(calls) % 2)),
            mock.patch.object(auditing, "datetime", Clock),
        ):
            ids = [ask(server.port, "/encode", ENCODE).request_id for _ in range(4)]
            require(served.encoded(server.audit) == ids, "the audit log is not in order")
            server.require_right()

    for seconds in (-1e9, -3600.0, -1.0, 1.0, 1e9):
        yield f"by {seconds:.0f} s and back", partial(attempt, seconds=seconds)
