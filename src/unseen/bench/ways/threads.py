"""Several threads and tasks at once, on one pipeline and on two that share an encoder."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import diffusers
import torch

import unseen
from unseen.bench.ways.scene import NEGATIVE, TARGET, UNRELATED, Scene, deep_wan
from unseen.bench.ways.way import way

CALLS = 200
PAIRS = [(TARGET, NEGATIVE), (UNRELATED, TARGET), (NEGATIVE, UNRELATED), (UNRELATED, NEGATIVE), (TARGET, TARGET)]


def _hammer(
    s: Scene, handle: unseen.Handle, pipes: list[Any], calls: int, *, copies: bool = False, threads: int = 8
) -> None:
    """Threads encode prompts, targets and others, with negative prompts that name the concept; three do other things.

    Every single result has to be what a single caller gets.
    """
    start = threading.Barrier(threads)
    wrong: list[str] = []
    expected = {pair: (s.erased(pair[0]), s.plain(pair[1])) for pair in PAIRS}
    fired = handle.explain(TARGET)

    def encode(number: int, turn: int, chosen: bool = False) -> None:
        pair = PAIRS[(turn + number) % len(PAIRS)]
        pipe = pipes[number % len(pipes)]
        made = s.embed(
            pair[0],
            pipe=copy.copy(pipe) if copies else pipe,
            negative_prompt=pair[1],
            do_classifier_free_guidance=True,
        )
        prompt, negative = expected[pair]
        if not torch.equal(made[0], s.plain(pair[0]) if chosen else prompt):
            wrong.append("unedited" if torch.equal(made[0], s.plain(pair[0])) else "other bits")
        if not torch.equal(made[1], negative):
            wrong.append("negative prompt")

    def work(number: int) -> None:
        start.wait()
        try:
            for turn in range(calls):
                if number == 0 and handle.explain(TARGET) != fired:
                    wrong.append("explain")
                elif number == 1 and handle.rewrite(TARGET) != TARGET:
                    wrong.append("rewrite")
                elif number == 2:
                    with handle.using({}):
                        encode(number, turn, chosen=True)
                encode(number, turn)
        except Exception as error:
            wrong.append(f"{type(error).__name__}: {error}")

    pool = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join(timeout=120)
    s.check(not any(thread.is_alive() for thread in pool), "all threads end")
    s.check(not wrong, f"{len(wrong)} wrong, the first: {wrong[:1]}")
    s.findings[-1] = s.findings[-1]._replace(unerased="unedited" in wrong)


def _few(s: Scene) -> None:
    with s.attach() as handle:
        _hammer(s, handle, [s.pipe], 20)


way("erased", name="eight threads, 20 calls each", tried="eight threads on one pipeline")(_few)


@way("erased", slow=True)
def eight_threads_on_one_pipeline(s: Scene) -> None:
    """8 × 200 calls; one thread also asks handle.explain, one handle.rewrite, one chooses nothing for itself."""
    with s.attach() as handle:
        _hammer(s, handle, [s.pipe], CALLS)


@way("erased", slow=True)
def eight_threads_on_two_pipelines(s: Scene) -> None:
    """The same on two pipelines that share an encoder."""
    other = _other(s)
    with s.attach([s.pipe, other]) as handle:
        _hammer(s, handle, [s.pipe, other], CALLS)


@way("erased", slow=True)
def eight_threads_with_a_copy_per_request(s: Scene) -> None:
    """The same, each call on a copy.copy of the pipeline."""
    with s.attach() as handle:
        _hammer(s, handle, [s.pipe], CALLS, copies=True)


def _other(s: Scene) -> Any:
    other = diffusers.WanPipeline(**s.pipe.components, expand_timesteps=True)
    other.set_progress_bar_config(disable=True)
    return other


def _clips(s: Scene, pipes: list[Any], *, threads: int = 4, rounds: int = 3) -> None:
    """Whole clips from several threads; each is the clip that a single caller gets."""
    prompts = [(TARGET, NEGATIVE), (UNRELATED, TARGET)]
    alone = [s.guide(prompt, negative_prompt=negative) for prompt, negative in prompts]

    def work(number: int) -> list[bool]:
        prompt, negative = prompts[number % 2]
        made = [s.guide(prompt, negative_prompt=negative, pipe=pipes[number % len(pipes)]) for _ in range(rounds)]
        return [torch.equal(clip, alone[number % 2]) for clip in made]

    with ThreadPoolExecutor(threads) as pool:
        same = [one for each in pool.map(work, range(threads)) for one in each]
    s.check(all(same), f"{same.count(False)} of {len(same)} clips differ")
    s.forget()  # passes of several threads are mixed in the log


@way("waits")
def clips_on_one_pipeline(s: Scene) -> None:
    """Four threads make whole clips on one pipeline, which has one scheduler."""
    with s.attach():
        _clips(s, [s.pipe])


@way("waits")
def clips_on_two_pipelines(s: Scene) -> None:
    """Four threads make clips on two pipelines that share all parts, the scheduler too."""
    other = _other(s)
    with s.attach([s.pipe, other]):
        _clips(s, [s.pipe, other])


@way("waits")
def clips_on_copies(s: Scene) -> None:
    """Four threads, each with a copy.copy and a scheduler of its own."""
    with s.attach():
        pipes = [copy.copy(s.pipe) for _ in range(4)]
        for pipe in pipes:
            pipe.scheduler = copy.deepcopy(pipe.scheduler)
        _clips(s, pipes)


@way("waits", scene=deep_wan)
def clips_with_a_cached_denoiser(s: Scene) -> None:
    """Four threads on a transformer whose steps are cached, which holds the state of one clip."""
    s.pipe.transformer.enable_cache(diffusers.FirstBlockCacheConfig(threshold=0.01))
    with s.attach():
        _clips(s, [s.pipe])


@way("erased")
def asyncio_to_thread(s: Scene) -> None:
    """Sixteen requests of an asyncio server, each with asyncio.to_thread."""

    async def request(number: int) -> bool:
        prompt, negative = PAIRS[number % len(PAIRS)]
        made = await asyncio.to_thread(s.embed, prompt, negative_prompt=negative)
        return torch.equal(made[0], s.erased(prompt)) and torch.equal(made[1], s.plain(negative))

    async def serve() -> list[bool]:
        return list(await asyncio.gather(*(request(number) for number in range(16))))

    with s.attach():
        s.embed(TARGET)  # the context that the threads get a copy of has seen a call
        s.check(all(asyncio.run(serve())), "every request")


@way("erased")
def asyncio_clips(s: Scene) -> None:
    """Clips of asyncio tasks, encoded in one task and drawn in another thread."""

    async def request(prompt: str) -> torch.Tensor:
        made = await asyncio.to_thread(s.embed, prompt, negative_prompt=NEGATIVE)
        return await asyncio.to_thread(s.guide, prompt_embeds=made[0], negative_prompt_embeds=made[1])

    async def serve() -> list[torch.Tensor]:
        return list(await asyncio.gather(*(request(prompt) for prompt in (TARGET, UNRELATED, TARGET))))

    with s.attach():
        clips = asyncio.run(serve())
        alone = s.guide(TARGET, negative_prompt=NEGATIVE)
    s.check(torch.equal(clips[0], alone) and torch.equal(clips[2], alone), "clips")
    s.forget()


@way("erased")
def choices_of_asyncio_tasks(s: Scene) -> None:
    """Tasks of one thread choose differently, and their calls interleave."""
    seen: list[bool] = []

    async def request(handle: unseen.Handle, nothing: bool) -> None:
        for _ in range(5):
            with handle.using({} if nothing else None):
                await asyncio.sleep(0)
                made = await asyncio.to_thread(s.embed, TARGET)
                seen.append(torch.equal(made[0], s.plain() if nothing else s.erased()))

    async def serve(handle: unseen.Handle) -> None:
        await asyncio.gather(*(request(handle, bool(number % 2)) for number in range(6)))

    with s.attach() as handle:
        asyncio.run(serve(handle))
    s.check(all(seen), "every task gets what it chose")


@way("erased")
def attaching_while_others_encode(s: Scene) -> None:
    """One thread attaches and detaches, three encode: each result is plain or erased in full, or refused."""
    stop = threading.Event()
    wrong: list[str] = []

    def encode() -> None:
        while not stop.is_set():
            try:
                made = s.embed(TARGET)[0]
            except unseen.UnseenError:
                continue
            except Exception as error:
                wrong.append(f"{type(error).__name__}: {error}")
                return
            if not torch.equal(made, s.plain()) and not torch.equal(made, s.erased()):
                wrong.append("half")

    pool = [threading.Thread(target=encode, daemon=True) for _ in range(3)]
    for thread in pool:
        thread.start()
    for _ in range(10):
        s.attach().detach()
    stop.set()
    for thread in pool:
        thread.join(30)
    s.check(not wrong, f"{wrong[:1]}")
    with s.attach():
        s.generate(TARGET)


def _refused_in_threads(s: Scene) -> None:
    with s.attach(), ThreadPoolExecutor(4) as pool:
        refusals: list[Callable[[], Any]] = [lambda: s.generate(prompt_embeds=s.plain())] * 8
        failed = [pool.submit(call) for call in refusals]
        errors = [future.exception() for future in failed]
        s.check(all(isinstance(error, unseen.UnseenError) for error in errors), "each is refused")
        s.generate(TARGET)


way("erased", name="refusals in threads", tried="foreign embeddings from four threads at once")(_refused_in_threads)
