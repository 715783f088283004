"""What each control of the page does: inputs in, updates of the page out; bad input is answered in place."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unseen.app import actions, files, picture, videos
from unseen.app.models import Models
from unseen.app.session import MOST_ERASERS, Session, concept_from, prompt_from, seed_from
from unseen.clear.eraser import ClearEraser
from unseen.clear.search import Progress
from unseen.errors import AppError, UnseenError
from unseen.score.run import SUMMARY, TABLE

EXPECTED = (UnseenError, ValueError, OSError)
"""What an input may bring about; anything else is a mistake of ours."""
USE = "None yet. Learn one on this page, or take one from the tab Files."


def problem(error: BaseException) -> str:
    """What went wrong, in the place of a status."""
    return picture.message(str(error) or type(error).__name__, problem=True)


def shown(session: Session, words: str) -> list[Any]:
    """Updates of everything that shows the erasers of a tab."""
    import gradio as gr

    updates: list[Any] = [session]
    for place in range(MOST_ERASERS):
        if place >= len(session.held):
            updates += [gr.update(visible=False), gr.skip(), gr.skip(), gr.skip()]
            continue
        held = session.held[place]
        own = f"0: nothing is erased; the fit chose {held.eraser.strength:g}"
        updates += [
            gr.update(visible=True),
            gr.update(value=held.on, label=f"Erase {held.eraser.name}"),
            gr.update(value=held.strength, label=f"Strength for {held.eraser.name}", info=own),
            gr.update(value=f"Remove {held.eraser.name}"),
        ]
    return [*updates, words]


def status(session: Session) -> str:
    """Which erasers act now."""
    names = [one.eraser.name for one in session.acting]
    if not session.held:
        return picture.message(USE)
    return picture.message(
        f"Erased{' together' if len(names) > 1 else ''}: {', '.join(names)}"
        if names
        else "All are off: nothing is erased"
    )


def suggest(name: str, kind: str, synonyms: str) -> tuple[str, str, tuple[str, ...]]:
    """Other words for the concept, added to those that were typed; what the status says; and which were added."""
    try:
        wanted = concept_from(name, kind, synonyms)
        others = [w for w in actions.suggest_synonyms(wanted.name, kind) if w.casefold() not in
                 {s.casefold() for s in wanted.synonyms}]  # fmt: skip
    except EXPECTED as error:
        return synonyms, problem(error), ()
    if not others:
        return synonyms, picture.message("No other words are known here. Add those your users would type"), ()
    words = f"Added: {', '.join(others)}. Remove what you do not mean"
    return ", ".join([*wanted.synonyms, *others]), picture.message(words), tuple(others)


def forget(synonyms: str, suggested: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Other words for another concept must not stay when the name changes; those typed by hand do."""
    if not suggested:
        return synonyms, ()
    kept = [word.strip() for word in synonyms.split(",") if word.strip() and word.strip() not in suggested]
    return ", ".join(kept), ()


def fitter(models: Models) -> Callable[..., Iterator[tuple[Any, ...]]]:
    """Learn an eraser, step by step: the eraser when it is there, the status, and what is seen of the fit."""

    def fit(model: str, name: str, kind: str, synonyms: str, replacement: str) -> Iterator[tuple[Any, ...]]:
        import gradio as gr

        try:
            concept = concept_from(name, kind, synonyms, replacement)
            yield None, picture.message(f"Loading {model}, where it is not loaded yet."), ""
            for step in actions.fit_steps(models.get(model), concept, models.settings.config):
                if isinstance(step, str):
                    yield None, picture.message(step), gr.skip()
                elif isinstance(step, Progress):
                    yield None, picture.message(f"Learning to erase {concept.name}"), picture.fitting(step)
                else:
                    yield step, picture.message(f"Done in {step.report.get('seconds', 0):.0f} s"), found(step)
        except EXPECTED as error:
            yield None, problem(error), ""

    return fit


def found(eraser: ClearEraser) -> str:
    """The verdict on a fit, and the layers' preferences."""
    history = eraser.report.get("preferences") or []
    table = picture.preferences(eraser.report["layers"], history[-1]) if history else ""
    return picture.verdict(*actions.verdict_words(eraser)) + table


def add(session: Session, eraser: ClearEraser | None) -> list[Any]:
    """Put an eraser on the page."""
    if eraser is None:
        return shown(session, status(session))
    try:
        session = session.add(eraser)
    except AppError as error:
        return shown(session, problem(error))
    return shown(session, status(session))


def switcher(place: int) -> Callable[[Session, bool], list[Any]]:
    """Switch the eraser in one place on or off."""

    def switch(session: Session, on: bool) -> list[Any]:
        try:
            session = session.switch(place, on)
        except AppError as error:
            return shown(session, problem(error))
        return shown(session, status(session))

    return switch


def turner(place: int) -> Callable[[Session, Any], tuple[Session, str]]:
    """Set the strength of the eraser in one place."""

    def turn(session: Session, strength: Any) -> tuple[Session, str]:
        try:
            session = session.turn(place, strength)
        except AppError as error:
            return session, problem(error)
        return session, status(session)

    return turn


def remover(place: int) -> Callable[[Session], list[Any]]:
    """Take the eraser in one place off the page."""

    def remove(session: Session) -> list[Any]:
        try:
            session = session.remove(place)
        except AppError as error:
            return shown(session, problem(error))
        return shown(session, status(session))

    return remove


def drawer(models: Models, *, again: bool = False) -> Callable[..., Iterator[tuple[Any, ...]]]:
    """Draw a prompt without and with the erasers; with `again` only if one was drawn before."""

    def draw(session: Session, model: str, prompt: str, seed: Any, last: Any = None) -> Iterator[tuple[Any, ...]]:
        import gradio as gr

        skip = gr.skip()
        if again and last is None:  # nothing was drawn that could be drawn anew
            yield skip, skip, skip, skip, skip
            return
        try:
            text, number = prompt_from(prompt), seed_from(seed)
            if again and not session.acting:
                yield (
                    None,
                    picture.message("No eraser is on; the model draws what stands under Before"),
                    skip,
                    skip,
                    skip,
                )
                return
            for step in actions.compare_steps(models.get(model), session, text, number):
                if isinstance(step, str):
                    yield skip, picture.message(step), skip, skip, skip
                else:
                    views = picture.pair(step), picture.prompt_words(step), gr.update(visible=True)
                    yield step, picture.message("Done"), *views
        except EXPECTED as error:
            yield None, problem(error), "", "", gr.update(visible=False)

    return draw


def filmer(folder: Path) -> Callable[[Any], tuple[Any, str]]:
    """Make an MP4 of the last pair."""

    def film(last: Any) -> tuple[Any, str]:
        import gradio as gr

        if last is None:
            return gr.update(visible=False), picture.message("Draw a prompt first; then there is a clip", problem=True)
        path = picture.save_pair(last, Path(tempfile.mkdtemp(dir=folder)))
        return gr.update(value=str(path), visible=True), picture.message("The MP4 is ready")

    return film


def neighbours(models: Models) -> Callable[..., Iterator[tuple[str, str]]]:
    """Draw what lies near the erased concepts, without and with the erasers."""

    def draw(session: Session, model: str, seed: Any) -> Iterator[tuple[str, str]]:
        gallery = ""
        try:
            chosen, number = models.get(model), seed_from(seed)
            if not session.acting:
                raise AppError("Switch an eraser on, or fit one first; then its neighbours can be drawn.")
            for held in session.acting:
                prompts = actions.neighbour_prompts(chosen, held.eraser.concept)
                gallery += f"<h3>Near {picture.escape(held.eraser.name)}</h3>"
                for count, prompt in enumerate(prompts, 1):
                    yield picture.message(f"Drawing {count} of {len(prompts)} for {held.eraser.name}"), gallery
                    pair = actions.compared(chosen, session, prompt, number)
                    gallery += f"<h4>{picture.escape(prompt)}</h4>{picture.pair(pair)}"
            yield picture.message("Done. Each pair should show the same thing"), gallery
        except EXPECTED as error:
            yield problem(error), gallery

    return draw


def packer(folder: Path) -> Callable[[Session], tuple[Any, str]]:
    """Pack the page's erasers for download."""

    def pack(session: Session) -> tuple[Any, str]:
        import gradio as gr

        try:
            if not session.held:
                raise AppError("There is no eraser on this page yet; learn one first.")
            target = Path(tempfile.mkdtemp(dir=folder))
            made = [str(files.packed(one.eraser, target)) for one in session.held]
        except EXPECTED as error:
            return gr.update(visible=False), problem(error)
        return gr.update(value=made, visible=True), picture.message("Ready to download")

    return pack


def uploader(paths: list[str] | None) -> tuple[ClearEraser | None, str]:
    """Read erasers that were uploaded."""
    try:
        eraser = files.uploaded(paths)
    except EXPECTED as error:
        return None, problem(error)
    return eraser, picture.message(f"On the page now, under Erase: {eraser.name}")


def taker(folder: Path | None) -> Callable[[str | None], tuple[ClearEraser | None, str]]:
    """Read an eraser from the folder that the page was started with."""

    def take(name: str | None) -> tuple[ClearEraser | None, str]:
        try:
            eraser = files.saved_eraser(folder, name)
        except EXPECTED as error:
            return None, problem(error)
        return eraser, picture.message(f"On the page now, under Erase: {eraser.name}")

    return take


def scorer(folder: Path) -> Callable[..., Iterator[list[Any]]]:
    """Score uploaded videos: the status, the summary, a row for each video, and the table as files."""

    def score(folders: list[str] | None, single: list[str] | None, names: list[str] | None) -> Iterator[list[Any]]:
        import gradio as gr

        hidden = gr.update(visible=False)
        try:
            with tempfile.TemporaryDirectory(dir=folder) as held:  # the videos go when they are scored
                place, out = Path(held) / "uploaded videos", Path(tempfile.mkdtemp(dir=folder))
                place.mkdir()
                others = videos.gathered([*(folders or ()), *(single or ())], place)
                for step in videos.score_steps(place, names, out):
                    if isinstance(step, str):
                        yield [picture.message(step), "", "", hidden]
                        continue
                    read, of = step.statuses.get("scored", 0), sum(step.statuses.values())
                    words = f"Done. {read} of {of} videos could be read"
                    words += f"; other files, left alone: {len(others)}" if others else ""
                    made = gr.update(value=[str(out / name) for name in (TABLE, SUMMARY)], visible=True)
                    yield [picture.message(words), videos.summary(step), videos.table(step), made]
        except EXPECTED as error:
            yield [problem(error), "", "", hidden]

    return score
