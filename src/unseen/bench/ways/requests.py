"""What one caller may choose for its own calls: `handle.using`, strengths, and reading."""

from __future__ import annotations

import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

import unseen
from unseen.bench.ways.scene import TARGET, UNRELATED, Scene, planted
from unseen.bench.ways.way import way


@way("unchanged")
def nothing_chosen(s: Scene) -> None:
    """with handle.using({}): this caller's prompts stay as they are."""
    s.expected = [s.plain()]
    with s.attach() as handle, handle.using({}):
        s.generate(TARGET)


@way("unchanged")
def nothing_chosen_and_own_embeddings(s: Scene) -> None:
    """Where nothing is to be erased, nothing needs to be proven."""
    s.expected = [s.plain()]
    with s.attach() as handle, handle.using({}):
        s.generate(prompt_embeds=s.plain().clone())


@way("unchanged")
def strength_nought(s: Scene) -> None:
    """attach(..., strengths=[0]) changes nothing and refuses nothing."""
    s.expected = [s.plain()]
    with s.attach(strengths=[0.0]):
        s.generate(TARGET)


@way("refused")
def embeddings_made_where_nothing_was_chosen(s: Scene) -> None:
    """Encoded within using({}), used outside."""
    with s.attach() as handle:
        with handle.using({}):
            free = s.embed(TARGET)[0]
        s.generate(prompt_embeds=free)


@way("erased")
def nested_choices(s: Scene) -> None:
    """using within using: the inner one holds, then the outer one again."""
    with s.attach() as handle, handle.using({"zeppelin": 1.0}):
        with handle.using({}):
            s.check(torch.equal(s.embed(TARGET)[0], s.plain()), "inner")
        s.generate(TARGET)


@way("erased")
def a_choice_left_by_an_exception(s: Scene) -> None:
    """An exception leaves the block; outside everything is erased."""
    with s.attach() as handle:
        try:
            with handle.using({}):
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        s.generate(TARGET)


@way("erased")
def a_choice_in_another_thread(s: Scene) -> None:
    """One thread chooses nothing; another one's call is erased all the same."""
    with s.attach() as handle, handle.using({}), ThreadPoolExecutor(1) as pool:
        pool.submit(s.generate, TARGET).result()


@way("erased")
def a_choice_opened_here_and_closed_there(s: Scene) -> None:
    """A with block that is entered in one thread and left in another (a generator of a web framework)."""
    with s.attach() as handle:
        choice = handle.using({})
        with ThreadPoolExecutor(1) as pool:
            pool.submit(choice.__enter__).result()
        choice.__exit__(None, None, None)
        s.generate(TARGET)


@way("erased")
def a_choice_in_a_copied_context(s: Scene) -> None:
    """What is chosen in a copy of the context stays there."""
    with s.attach() as handle:

        def inside() -> None:
            with handle.using({}):
                s.check(torch.equal(s.embed(TARGET)[0], s.plain()), "inside")

        contextvars.copy_context().run(inside)
        s.generate(TARGET)


@way("erased")
def strengths_are_read_only(s: Scene) -> None:
    """handle.strengths cannot be assigned or changed."""
    with s.attach() as handle:
        try:
            handle.strengths = (0.0,)  # type: ignore[misc]
            s.check(False, "strengths were assigned")
        except AttributeError:
            s.check(True, "read-only")
        s.generate(TARGET)


def _bad(value: Any) -> None:
    def run(s: Scene) -> None:
        with s.attach() as handle:
            s.expected = [s.erased()]
            try:
                with handle.using(value):
                    s.check(False, f"{value!r} was taken")
            except (ValueError, TypeError, unseen.UnseenError):
                s.check(True, "refused")
            s.generate(TARGET)

    run.__module__ = __name__
    way(
        "erased", name=f"using {value!r}", tried="a choice that makes no sense is refused, and everything stays erased"
    )(run)


for _value in ({"zepelin": 1.0}, {"zeppelin": -1.0}, {"zeppelin": float("nan")}, {"zeppelin": "1"}, {"zeppelin": True}):
    _bad(_value)


@way("erased")
def chosen_strength(s: Scene) -> None:
    """using({"zeppelin": 2}) does what an eraser of strength 2 does."""
    with unseen.attach(s.pipe, s.eraser.with_strength(2.0)):
        strong = s.embed(TARGET)[0]
    with s.attach() as handle, handle.using({"zeppelin": 2.0}):
        s.expected = [strong]
        s.generate(TARGET)


@way("refused")
def strong_embeddings_where_another_strength_is_wanted(s: Scene) -> None:
    """Encoded at strength 2, used at strength 1: not what was asked for."""
    with s.attach() as handle:
        with handle.using({"zeppelin": 2.0}):
            strong = s.embed(TARGET)[0]
        s.generate(prompt_embeds=strong)


@way("refused")
def one_of_two_concepts(s: Scene) -> None:
    """Encoded with one of two concepts chosen, used where both are wanted."""
    with unseen.attach(s.pipe, [s.eraser, planted(s.pipe, "umt5", "wolf")]) as handle:
        with handle.using({"wolf": 1.0}):
            half = s.embed(TARGET)[0]
        s.generate(prompt_embeds=half)


@way("erased")
def two_concepts(s: Scene) -> None:
    """Encoded with both, used where one is wanted: more was erased than needs be, nothing less."""
    with unseen.attach(s.pipe, [s.eraser, planted(s.pipe, "umt5", "wolf")]) as handle:
        both = s.embed(TARGET)[0]
        with handle.using({"zeppelin": 1.0}):
            s.generate(prompt_embeds=both)


@way("erased")
def explaining_between(s: Scene) -> None:
    """handle.explain, rewrite, status and warm_up leave nothing behind."""
    with s.attach() as handle:
        handle.warm_up()
        s.check({f.concept for f in handle.explain(TARGET)} == {"zeppelin"}, "explained")
        handle.rewrite(TARGET)
        handle.status()
        s.generate(TARGET)


@way("erased")
def a_callback_of_events_that_fails(s: Scene) -> None:
    """on_event raises at the second event; the call fails, the next one is erased."""
    told: list[Any] = []

    def fails(made: Any) -> None:
        told.append(made)
        if len(told) == 2:
            raise RuntimeError("no disk")

    with s.attach(on_event=fails):
        try:
            s.generate(TARGET)
        except RuntimeError:
            s.check(not s.log, "nothing was drawn")
        s.generate(TARGET)


@way("erased")
def request_ids(s: Scene) -> None:
    """A request id reaches the events of this caller alone."""
    events: list[dict[str, Any]] = []
    with s.attach(on_event=events.append) as handle:
        with handle.using(request_id="one"):
            s.generate(TARGET)
        s.generate(TARGET)
    ids = [event.get("request_id") for event in events if event["event"] == "encoded"]
    s.check(ids == ["one", None], "ids")


@way("erased")
def an_eraser_changed_after_attach(s: Scene) -> None:
    """The tensors that an eraser was made of are changed; it keeps its own."""
    import dataclasses

    own = s.eraser.W_dec.clone()
    eraser = dataclasses.replace(s.eraser, W_dec=own)
    with unseen.attach(s.pipe, eraser):
        own.zero_()
        s.generate(TARGET)


@way("refused")
def used_after_detach(s: Scene) -> None:
    """handle.encode after detach."""
    handle = s.attach()
    handle.detach()
    handle.encode(UNRELATED)
