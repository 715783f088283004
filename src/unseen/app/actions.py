"""What the page can do, without the page: suggest words, fit, draw before and after, look at neighbours."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unseen.app.models import Model
from unseen.app.session import Held, Session
from unseen.clear.config import ClearConfig
from unseen.clear.eraser import ClearEraser
from unseen.clear.search import Progress
from unseen.concept import Concept
from unseen.errors import AppError, EraserBypassedError
from unseen.runtime.handle import Firing

_NEAR = 3  # prompts about neighbours that are drawn


@dataclass(frozen=True)
class Token:
    """One token of a prompt as it is encoded."""

    text: str
    fired: tuple[tuple[str, float], ...] = ()
    """Concept and activity of each eraser that acts on it; 1 is as on the concept's own tokens."""

    @property
    def activity(self) -> float:
        """The strongest activity, 0 where no eraser acts."""
        return max((value for _, value in self.fired), default=0.0)


@dataclass(frozen=True)
class Comparison:
    """A prompt drawn from the same noise without and with the erasers of a tab."""

    prompt: str
    rewritten: str
    """The prompt as it was encoded: words that mean a concept are exchanged for its name."""
    seed: int
    before: np.ndarray
    """uint8 `[frames, H, W, 3]`."""
    after: np.ndarray
    tokens: tuple[Token, ...]
    acting: tuple[Held, ...]
    silent: tuple[str, ...]
    """Concepts that the prompt names although their eraser, which is on, acts on none of its tokens."""

    @property
    def difference(self) -> float:
        """Mean difference of both clips, 0 to 255."""
        return float(np.abs(self.before.astype(np.int16) - self.after).mean())

    @property
    def identical(self) -> bool:
        """Whether both clips are equal bit for bit."""
        return bool((self.before == self.after).all())


def suggest_synonyms(name: str, kind: str) -> tuple[str, ...]:
    """Other words that belong to a concept: what Diorama's captions call it, a pack's names, the surname of a person or
    artist. May be empty."""
    from unseen.diorama.world import captions
    from unseen.prompts.pack import load_pack, pack_names

    found: list[str] = []
    try:
        key = captions.key_of(name)
    except ValueError:
        key = None
    if key is not None and kind != "attribute":
        found += captions.names(key, "synonym", "fit")
    if kind == "attribute":
        slug = name.casefold().replace(" ", "-")
        for pack_name in pack_names():
            if slug == pack_name and pack_name not in ("artist", "celebrity"):
                found += load_pack(pack_name, languages=("en",)).concept.names
    words = name.split()
    if kind in ("style", "identity") and len(words) > 1 and words[-1][:1].isupper():
        found.append(words[-1])
    return tuple(w for w in dict.fromkeys(found) if w.casefold() != name.casefold())[:8]


def fit_steps(
    model: Model, concept: Concept, config: ClearConfig | None = None, seed: int = 0
) -> Iterator[str | Progress | ClearEraser]:
    """Fit an eraser; yields words about what happens, how far the search has come, and last the eraser.

    The fit runs in a thread of its own, which ends when this iterator is closed.

    Raises:
        UnseenError: there is no such model, or the fit ended without an eraser.
    """

    def work(tell: Callable[[Any], None]) -> ClearEraser:
        from unseen.clear.fit import fit

        if model.busy:
            tell("Another tab is using the model. Yours is next.")
        with model.held() as pipe:
            tell("Writing prompts, and reading them through the text encoder.")
            return fit(pipe, concept, config=config, seed=seed, progress=False, on_progress=tell)

    for said in steps_of(work):
        yield said
        if isinstance(said, Progress) and said.step == said.steps:
            yield "Choosing features and strength, and trying them on prompts the fit has not seen."


def steps_of(work: Callable[[Callable[[Any], None]], Any]) -> Iterator[Any]:
    """Run `work` in a thread of its own; yields what it tells, and last what it returns.

    When this iterator is closed, `work` ends at what it tells next. Raises what `work` raises.
    """
    told: queue.Queue[tuple[str, Any]] = queue.Queue()
    closed = threading.Event()

    def tell(said: Any) -> None:
        if closed.is_set():
            raise AppError("It was stopped; start it again.")
        told.put(("said", said))

    def run() -> None:
        try:
            told.put(("done", work(tell)))
        except BaseException as error:  # raised again by the iterator
            told.put(("failed", error))

    threading.Thread(target=run, name="unseen-work", daemon=True).start()
    try:
        while True:
            kind, said = told.get()
            if kind == "failed":
                raise said
            yield said
            if kind == "done":
                return
    finally:
        closed.set()


def compare_steps(model: Model, session: Session, prompt: str, seed: int) -> Iterator[str | Comparison]:
    """Draw a prompt without and with the tab's erasers; yields words about what happens, and last the comparison.

    Raises:
        UnseenError: an eraser cannot act on this model (nothing is drawn with erasers then), or the prompt is refused.
    """
    if not session.acting:
        raise AppError("Switch an eraser on, or fit one first; without any there is nothing to compare.")
    if model.busy:
        yield "Another tab is using the model. Yours is next."
    elif not model.has_bare(prompt, seed):
        yield "Drawing without erasers."
    before = model.bare(prompt, seed)
    yield (
        "Drawing with erasers. The first time, the model is asked what ordinary words look like, which takes a minute"
        " or more on a processor."
    )
    yield draw_comparison(model, session, prompt, seed, before)


def compared(model: Model, session: Session, prompt: str, seed: int) -> Comparison:
    """The comparison alone. Raises what `compare_steps` raises."""
    *_, found = compare_steps(model, session, prompt, seed)
    assert isinstance(found, Comparison)
    return found


def draw_comparison(model: Model, session: Session, prompt: str, seed: int, before: np.ndarray) -> Comparison:
    """`before` beside the clip with the tab's erasers, which are attached for just as long as it takes."""
    from unseen.diorama.model.pipeline import draw_clip
    from unseen.runtime.attach import attach

    acting = session.acting
    with model.held() as pipe:
        erasers = [one.eraser for one in acting]
        with attach(pipe, erasers, strengths=[one.strength for one in acting]) as handle:
            if {e.key for e in handle.erasers} != {e.key for e in erasers}:
                raise EraserBypassedError("not every eraser that is on came onto the model; nothing was drawn.")
            call = model.call(pipe)
            length = call.get("max_sequence_length")
            after = draw_clip(pipe, prompt, seed, call)
            rewritten = handle.rewrite(prompt, max_sequence_length=length)
            tokens = tokens_of(pipe, handle.explain(prompt, max_sequence_length=length), rewritten)
    fired = {name for token in tokens for name, _ in token.fired}
    silent = tuple(
        e.name
        for one in acting
        for e in [one.eraser]
        if one.strength > 0 and e.name not in fired and e.concept.is_named_in(rewritten)
    )
    return Comparison(prompt, rewritten, seed, before, after, tokens, acting, silent)


def tokens_of(pipe: Any, firings: Sequence[Firing], rewritten: str) -> tuple[Token, ...]:
    """The tokens of a prompt as it is encoded, and what acts on each; marks that the tokenizer adds are left out unless
    an eraser acts on them."""
    from unseen.pipelines import text_paths

    found: list[Token] = []
    for path in text_paths(pipe):
        acts: dict[int, list[tuple[str, float]]] = {}
        for firing in firings:
            if firing.encoder == path.name:
                acts.setdefault(firing.position, []).append((firing.concept, round(firing.activity, 3)))
        ids = path.tokenizer(
            [path.form.template.format(rewritten)], max_length=path.form.length, truncation=True
        ).input_ids[0]
        special = set(path.tokenizer.all_special_ids)
        for place, (number, text) in enumerate(zip(ids, path.tokenizer.convert_ids_to_tokens(ids), strict=True)):
            if place in acts or (number not in special and place >= path.form.skip):
                found.append(Token(text, tuple(acts.get(place, ()))))
    return tuple(found)


def neighbour_prompts(model: Model, concept: Concept) -> list[str]:
    """Prompts about what is easily confused with a concept and has to stay: from Diorama's world where it knows the
    concept, else prompts that the fit is to leave alone."""
    if model.is_diorama:
        from unseen.diorama.world import captions
        from unseen.diorama.world.concepts import neighbours_of

        try:
            near = neighbours_of(captions.key_of(concept.name))
        except ValueError:
            near = ()
        if near and concept.kind != "style":
            return [f"{captions.grammar().names[key][0].text} on a green meadow" for key in near[:_NEAR]]
        if near:
            frames = captions.grammar().frames
            return [f"a lighthouse on a green meadow, {frames[k].format(captions.main_name(k))}" for k in near[:_NEAR]]
    from unseen.prompts.writer import write_prompts

    written = write_prompts(concept, seed=0)
    return list(dict.fromkeys([*written.same_word[:2], *written.retain[: _NEAR + 2]]))[:_NEAR]


def verdict_words(eraser: ClearEraser) -> tuple[bool | None, str]:
    """Whether the fit worked by its own check (None: not known), and one or two sentences about it."""
    from unseen.encoder.layers import layer_name

    found = eraser.report.get("verdict")
    facts = f"It edits {layer_name(eraser.layer)} of the text encoder through {eraser.num_features} features."
    if not isinstance(found, dict) or "worked" not in found:
        return None, f"This eraser says nothing about how its fit went. {facts}"
    if not found["worked"]:
        return False, f"The fit did not work: {'; '.join(found.get('reasons', ()))}. Try other words. {facts}"
    fired = eraser.report.get("fired_on", {})
    share, other = fired.get("held_out_positives"), fired.get("held_out_negatives")
    acts = "" if share is None else f" It acted on {share:.0%} of unseen prompts about “{eraser.name}”"
    acts += "." if acts and other is None else "" if not acts else f" and on {other:.0%} of those about other things."
    return True, f"The fit worked, by prompts it had not seen.{acts} {facts}"
