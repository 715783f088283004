"""What the page shows, as HTML: clips, coloured tokens, layer preferences, messages."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from unseen.app.actions import Comparison, Token
from unseen.bench.views.media import enlarge, webp_data_uri, write_mp4
from unseen.clear.search import Progress
from unseen.encoder.layers import layer_name

_SIDE = 288
_MOST_FRAMES = 49


def message(text: str, *, problem: bool = False) -> str:
    """One sentence that a screen reader says when it changes."""
    kind = "problem" if problem else "told"
    sign = "<b>Please change this: </b>" if problem else ""
    return f'<p class="unseen-{kind}">{sign}{escape(sentence(text))}</p>' if text else ""


def sentence(text: str) -> str:
    """Text as a sentence: a capital letter first, a full stop last."""
    text = " ".join(text.split())
    return text if not text else text[0].upper() + text[1:] + ("" if text[-1] in ".!?…" else ".")


def clip(frames: np.ndarray, label: str, about: str) -> str:
    """A clip as a looping picture with a caption; it stands still for readers who asked for less motion."""
    small = _at_page_size(frames)
    still = io.BytesIO()
    Image.fromarray(small[len(small) // 2]).save(still, "PNG")
    source = "data:image/png;base64," + base64.b64encode(still.getvalue()).decode("ascii")
    return (
        f'<figure class="unseen-clip"><picture><source media="(prefers-reduced-motion: reduce)" srcset="{source}">'
        f'<img src="{webp_data_uri(small)}" alt="{escape(label)}: {escape(about)}" width="{small.shape[2]}"'
        f' height="{small.shape[1]}"></picture><figcaption>{escape(label)}</figcaption></figure>'
    )


def _at_page_size(frames: np.ndarray) -> np.ndarray:
    frames = frames[:: max(1, -(-len(frames) // _MOST_FRAMES))]
    height, width = frames.shape[1:3]
    if width <= _SIDE:
        return enlarge(frames, max(1, _SIDE // width))
    size = (_SIDE, max(1, round(height * _SIDE / width)))
    return np.stack([np.asarray(Image.fromarray(f).resize(size, Image.Resampling.LANCZOS)) for f in frames])


def pair(found: Comparison) -> str:
    """Before and after, side by side, and what can be said about them."""
    names = " and ".join(one.eraser.name for one in found.acting)
    if found.identical:
        words = "Both are the same, bit for bit: nothing that the erasers act on is in this prompt, or they are at 0."
    else:
        much = f"{found.difference:.1f}" if found.difference >= 0.1 else "less than 0.1"
        words = f"Same seed, same prompt. The pictures differ by {much} of 255 on average."
    after = f"After: {names} erased" if len(found.acting) < 3 else f"After: {len(found.acting)} concepts erased"
    before = clip(found.before, "Before", found.prompt)
    return f'<div class="unseen-pair">{before}{clip(found.after, after, found.prompt)}</div>' + message(words)


def prompt_words(found: Comparison) -> str:
    """The prompt's tokens, coloured by how strongly an eraser acts, and what was exchanged."""
    parts = ['<p class="unseen-tokens">', *(_token(token) for token in found.tokens), "</p>"]
    said = []
    for name in (one.eraser.name for one in found.acting):
        acts = [(t, value) for t in found.tokens for concept, value in t.fired if concept == name]
        if acts:
            said.append(f"{name} on {', '.join(f'{readable(t.text)} {_number(value)}' for t, value in acts)}")
    if said:
        words = f"The darker a word, the more an eraser acts on it (1 = as on the concept itself): {'; '.join(said)}."
    else:
        words = "No eraser acts on any word of this prompt."
    if found.rewritten != found.prompt:
        words += (
            f" The model read: “{found.rewritten}”, because other words for the concept are exchanged for its name."
        )
    parts.append(message(words))
    for name in found.silent:
        text = f"The prompt names {name}, yet its eraser acts on none of its words. Do not trust this picture"
        parts.append(message(text, problem=True))
    return "".join(parts)


def readable(token: str) -> str:
    """A token without its tokenizer's marks: "▁horn", "##n", "Ġhorn"."""
    return re.sub(r"^(▁|##|Ġ)|</w>$", "", token) or token


def _token(token: Token) -> str:
    text = readable(token.text)
    joined = " unseen-joined" if token.text.startswith("##") else ""
    if not token.fired:
        return f'<span class="unseen-token{joined}">{escape(text)}</span>'
    share = min(1.0, max(0.12, token.activity))
    title = ", ".join(f"{name} {_number(value)}" for name, value in token.fired)
    dark = " unseen-dark" if share > 0.55 else ""
    return (
        f'<mark class="unseen-token{joined}{dark}" style="--share:{share:.2f}" title="{escape(title)}">{escape(text)}'
        f"<sub>{escape(_number(token.activity))}</sub></mark>"
    )


def _number(activity: float) -> str:
    return f"{activity:.2f}" if activity >= 0.01 else "under 0.01"


def fitting(progress: Progress) -> str:
    """How far a fit has come, and which layer it prefers so far."""
    share = progress.step / max(1, progress.steps)
    words = f"Training: {share:.0%} done. The bars show which layer of the text encoder the fit prefers so far."
    bar = f'<progress max="1" value="{share:.3f}" aria-label="Training"></progress>'
    return bar + message(words) + preferences(progress.layers, progress.preferences)


def preferences(layers: Sequence[int], values: Sequence[float]) -> str:
    """Layer preferences as bars with their numbers."""
    best = max(values, default=0.0)
    level = all(abs(value - best) < 1e-6 for value in values)
    rows = "".join(
        f'<tr class="{"unseen-best" if value == best and not level else ""}"><th scope="row">{layer_name(layer)}</th>'
        f'<td><span class="unseen-bar" style="width:{100 * value:.1f}%"></span></td><td>{value:.0%}</td></tr>'
        for layer, value in zip(layers, values, strict=True)
    )
    head = '<tr><th scope="col">layer</th><th scope="col">preference</th><th scope="col">share</th></tr>'
    return f'<table class="unseen-layers"><caption>Layer preferences</caption>{head}{rows}</table>'


def verdict(worked: bool | None, words: str) -> str:
    """How a fit ended."""
    kind, title = {True: ("good", "It worked"), False: ("bad", "It did not work"), None: ("", "Not known")}[worked]
    return f'<div class="unseen-verdict {kind}"><b>{title}.</b> {escape(words)}</div>'


def framed(page: str, title: str) -> str:
    """A report in a frame of its own, whose scripts do not run."""
    return f'<iframe class="unseen-report" sandbox title="{escape(title)}" srcdoc="{escape(page)}"></iframe>'


def save_pair(found: Comparison, folder: Path) -> Path:
    """Before and after side by side as MP4 in `folder`; returns its path."""
    from unseen.bench.views.media import side_by_side, slug

    target = folder / f"{slug(found.prompt)}-{found.seed}.mp4"
    write_mp4(target, side_by_side(_at_page_size(found.before), _at_page_size(found.after)))
    return target
