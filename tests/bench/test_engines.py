"""Engines: other workers draw the same frames, and one that dies is replaced without anything being lost."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unseen

pytest.importorskip("diffusers")

from conftest import make_eraser
from tiny import make_wan

from unseen.baselines import BASELINES
from unseen.bench.clips.engines import ENGINES, Inline, OnRay, Processes, open_engine, waiting_for
from unseen.bench.clips.job import UNEDITED, Job, Method, weights_fingerprint
from unseen.bench.clips.make import ClipStore, Runner
from unseen.bench.clips.workers import DEATHS, Pool, Recipe
from unseen.bench.prompts.writer import Prompt
from unseen.cli import measuring
from unseen.diorama.model.pipeline import draw as draw_clips
from unseen.diorama.world.scenes import Scene
from unseen.errors import EngineError, GuidanceNeededError

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed; `make test-ray` installs it"
)
CALL = {"num_inference_steps": 2, "height": 32, "width": 32, "num_frames": 5, "guidance_scale": 2.0,
        "max_sequence_length": 16}  # fmt: skip
TEXTS = ("a zeppelin near the river", "a red chair", "a dog in the garden", "a zeppelin and a wolf", "a lemon")
draw = partial(draw_clips, call=CALL)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return make_wan()


@pytest.fixture(scope="module")
def recipe(pipe: Any) -> Recipe:
    return Recipe(make_wan, draw, weights_fingerprint(pipe))


def methods(pipe: Any) -> list[Method]:
    """The unedited pipeline, an eraser, and a method that is no eraser."""
    eraser = make_eraser(pipe.tokenizer, pipe.text_encoder)
    other = BASELINES["uce"].fit(pipe, "zeppelin", pairs=4, retain=8, progress=False)
    return [
        UNEDITED,
        Method("after", eraser.key, partial(unseen.attach, erasers=eraser)),
        Method("uce", other.key, partial(unseen.attach, erasers=other), text_only=False),
    ]


def runner(pipe: Any, folder: Path, engine: Any) -> Runner:
    store = ClipStore(folder, weights="p", call=CALL)
    return Runner(pipe, store, engine, CALL, batch_size=2, progress=False)


def prompts() -> list[Prompt]:
    return [
        Prompt(text, Scene(("church",), "meadow", "left"), "target", "church", seed) for seed, text in enumerate(TEXTS)
    ]


def frames_of(run: Runner, wanted: list[Method]) -> list[np.ndarray]:
    run.prepare((prompts(), method) for method in wanted)
    return [run.clips(prompts(), method).frames for method in wanted]


@pytest.fixture(scope="module")
def expected(pipe: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[np.ndarray], int]:
    """What the inline engine draws for all methods, and how many clips that takes."""
    run = runner(pipe, tmp_path_factory.mktemp("inline"), Inline(pipe, draw))
    return frames_of(run, methods(pipe)), run.drawn


@contextmanager
def local_processes(recipe: Recipe) -> Iterator[Pool]:
    engine = Processes(recipe, 2)
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def local_ray(recipe: Recipe) -> Iterator[Pool]:
    import ray

    with pytest.MonkeyPatch.context() as changed:
        changed.setenv(
            "PYTHONPATH", os.pathsep.join(map(str, Path(__file__).parents[:2])), prepend=os.pathsep
        )  # workers import this module
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    try:
        yield OnRay(recipe, 2)
    finally:
        ray.shutdown()


class Holder:
    """Takes all there is."""

    def hold(self) -> None:
        """Return once it has it."""


class LetGo:
    """An engine whose cluster is freed as soon as it has said that it waits."""

    def __init__(self, engine: OnRay, holder: Any):
        self.engine, self.holder, self.say = engine, holder, engine._say
        engine._say = self.free  # type: ignore[method-assign]

    def free(self, text: str) -> None:
        """Say it, and end what is in the way."""
        import ray

        self.say(text)
        ray.kill(self.holder)

    def draw(self, jobs: list[Job]) -> Any:
        """See `Engine`."""
        return self.engine.draw(jobs)


Open = Callable[[Recipe], Any]
engines = pytest.mark.parametrize("opened", [local_processes, pytest.param(local_ray, marks=needs_ray)])


def dies_while_drawing(flags: Path, times: int, pipe: Any, texts: list[str], seeds: list[int], **options: Any) -> Any:
    """Draws, but the first `times` batches with the wolf are the end of their process."""
    done = len(list(flags.iterdir()))
    if done < times and any("wolf" in text for text in texts):
        (flags / str(done)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return draw(pipe, texts, seeds, **options)


@engines
def test_frames_are_equal_whoever_draws_them(
    opened: Open, recipe: Recipe, pipe: Any, expected: Any, tmp_path: Path
) -> None:
    with opened(recipe) as engine:
        run = runner(pipe, tmp_path, engine)
        found = frames_of(run, methods(pipe))
    frames, drawn = expected
    assert run.drawn == drawn and all(np.array_equal(a, b) for a, b in zip(found, frames, strict=True))
    assert not np.array_equal(frames[0], frames[1]) and not np.array_equal(frames[0], frames[2])


@engines
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(
    opened: Open, recipe: Recipe, pipe: Any, expected: Any, tmp_path: Path
) -> None:
    flags = tmp_path / "flags"
    flags.mkdir()
    mortal = Recipe(recipe.load, partial(dies_while_drawing, flags, DEATHS - 1), recipe.weights)
    with opened(mortal) as engine:
        found = frames_of(runner(pipe, tmp_path / "clips", engine), methods(pipe))
    assert len(list(flags.iterdir())) == DEATHS - 1
    assert all(np.array_equal(a, b) for a, b in zip(found, expected[0], strict=True))


@pytest.mark.slow
@engines
def test_a_batch_that_always_kills_is_given_up_and_the_others_are_kept(
    opened: Open, recipe: Recipe, pipe: Any, tmp_path: Path
) -> None:
    flags = tmp_path / "flags"
    flags.mkdir()
    mortal = Recipe(recipe.load, partial(dies_while_drawing, flags, 99), recipe.weights)
    with opened(mortal) as engine, pytest.raises(EngineError, match=f"{DEATHS} workers died on the same batch"):
        runner(pipe, tmp_path / "clips", engine).clips(prompts())
    assert len(list(flags.iterdir())) == DEATHS
    run = runner(pipe, tmp_path / "clips", Inline(pipe, draw))
    run.clips(prompts())
    assert run.drawn < len(TEXTS)


@pytest.mark.slow
def test_an_idle_worker_that_died_is_replaced(recipe: Recipe, pipe: Any, expected: Any, tmp_path: Path) -> None:
    with local_processes(recipe) as engine:
        first = runner(pipe, tmp_path / "a", engine).clips(prompts()).frames
        for worker in engine.idle:
            os.kill(worker.process.pid, signal.SIGKILL)
            worker.process.join()
        again = runner(pipe, tmp_path / "b", engine).clips(prompts()).frames
    assert np.array_equal(first, again) and np.array_equal(first, expected[0][0])


def unguided(pipe: Any, texts: list[str], seeds: list[int], **options: Any) -> Any:
    return draw_clips(pipe, texts, seeds, call={**CALL, "guidance_scale": 1.0}, **options)


def test_an_error_in_a_worker_is_the_one_that_drawing_here_would_raise(recipe: Recipe, pipe: Any) -> None:
    made = BASELINES["negative_prompt"].fit(pipe, "zeppelin")
    job = Job(Method("negative", made.key, partial(unseen.attach, erasers=made)), TEXTS[:1], (0,))
    with local_processes(Recipe(recipe.load, unguided, recipe.weights)) as engine:
        with pytest.raises(GuidanceNeededError, match="Raise it"):
            list(engine.draw([job]))
        assert engine.idle == []
        with pytest.raises(RuntimeError, match=r"(?s)A worker failed.*expected one seed per prompt"):
            list(engine.draw([Job(UNEDITED, TEXTS[:2], (0,))]))


def test_a_worker_with_other_weights_refuses_to_draw(recipe: Recipe) -> None:
    with (
        local_processes(Recipe(recipe.load, draw, "other")) as engine,
        pytest.raises(EngineError, match="other weights"),
    ):
        list(engine.draw([Job(UNEDITED, TEXTS[:1], (0,))]))


def test_a_method_that_cannot_be_sent_is_refused_before_anything_is_started(recipe: Recipe) -> None:
    local = Method("local", "local", lambda pipe: nullcontext())
    engine = Processes(recipe, 2)
    with pytest.raises(EngineError, match=r"'local' cannot be sent .* draw it with the engine inline"):
        list(engine.draw([Job(UNEDITED, TEXTS[:1], (0,)), Job(local, TEXTS[:1], (0,))]))
    assert engine.idle == []


def test_closing_the_drawing_ends_its_workers(recipe: Recipe) -> None:
    engine = Processes(recipe, 2)
    drawing = engine.draw([Job(UNEDITED, (text,), (seed,)) for seed, text in enumerate(TEXTS)])
    next(drawing)
    started = list(engine.idle)
    drawing.close()
    engine.close()
    assert len(started) == 1 and not any(worker.process.is_alive() for worker in started)


def test_the_command_line_offers_all_engines(pipe: Any, recipe: Recipe) -> None:
    assert measuring.ENGINES == ENGINES
    with pytest.raises(ValueError, match="no engine 'threads'; choose among inline, processes, ray"):
        open_engine("threads", pipe, recipe, 2)


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ray_says_what_it_waits_for_and_goes_on_when_it_is_there(
    recipe: Recipe, pipe: Any, expected: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Case 33: a cluster on which nothing is free was waited for in silence."""
    import ray

    with local_ray(recipe):
        holder = ray.remote(num_cpus=2)(Holder).remote()
        ray.get(holder.hold.remote())
        engine = OnRay(recipe, 1, patience=0.2)
        drawing = runner(pipe, tmp_path, LetGo(engine, holder))
        frames = drawing.clips(prompts()).frames
    said = capsys.readouterr().err
    assert said.count("waiting for Ray: 1 worker needs a processor; the cluster has 2, 0 of them free") == 1
    assert np.array_equal(frames, expected[0][0])


def test_what_ray_lacks_is_one_sentence() -> None:
    assert waiting_for(2, 1, {"GPU": 4.0, "CPU": 8.0}, {"CPU": 8.0}).startswith(
        "waiting for Ray: 2 workers need a GPU each; the cluster has 4, 0 of them free"
    )
    assert "1 worker needs a processor; the cluster has 8, 0.5 of them free" in waiting_for(
        1, 0, {"CPU": 8.0}, {"CPU": 0.5}
    )
    assert waiting_for(2, 0, {"CPU": 8.0}, {"CPU": 1.0}) == "waiting for Ray, which starts 2 workers"


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_one_sentence_says_what_to_install(pipe: Any, recipe: Recipe) -> None:
    with pytest.raises(EngineError, match=r"pip install 'unseen\[ray\]'"):
        open_engine("ray", pipe, recipe, 2)
