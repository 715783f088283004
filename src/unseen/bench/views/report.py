"""A report that a reader without this library can open: clips before and after, rates, layer search, features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unseen.bench.views.charts import ends_of, interval_chart, line_chart
from unseen.bench.views.media import ENLARGE, enlarge, side_by_side, webp_data_uri
from unseen.bench.views.tables import Estimate, Table, not_met

PAGE = Path(__file__).with_name("page.html")
"""A page that needs no network and no other file."""
NARROW = 440
"""Pixels of a drawing whose letters can still be read on a phone."""


@dataclass(frozen=True)
class ShownPair:
    """One prompt's clips without and with the erasure, from the same noise."""

    caption: str
    before: np.ndarray
    """uint8 `[frames, H, W, 3]`"""
    after: np.ndarray
    reading: str = ""
    """What the detector says about both, or that both are the same clip."""

    @property
    def source(self) -> str:
        """The pair as one looping picture, so that both play in step; which is which is written on it."""
        both = enlarge(side_by_side(self.before, self.after, gap=2), ENLARGE)
        return webp_data_uri(_written_on(both, ("before", "after")))


@dataclass(frozen=True)
class PairGroup:
    """Pairs of one role under a heading."""

    title: str
    note: str
    pairs: Sequence[ShownPair]


@dataclass(frozen=True)
class Report:
    """What a report shows. Every number in it is computed by its caller; this module only lays them out."""

    title: str
    lead: str
    """The verdict in one paragraph of plain words."""
    groups: Sequence[PairGroup]
    tables: Sequence[Table]
    rates: Sequence[tuple[str, Estimate, Estimate]] = ()
    """Label, before, after: drawn as dots with intervals."""
    rates_note: str = ""
    charts: Sequence[tuple[str, str]] = ()
    """Title and SVG."""
    charts_note: str = ""
    preference_steps: Sequence[float] = ()
    preferences: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Layer preference of each block over the steps of the fit."""
    chosen: str | None = None
    """Key of `preferences` that was chosen."""
    preferences_note: str = ""
    features: Table | None = None
    features_note: str = ""
    facts: Sequence[tuple[str, str]] = ()
    model: str = ""
    """Which model this is about, and which it is not."""
    glossary: Sequence[tuple[str, str]] = ()
    """Words that a reader may not know, and what they mean."""

    def to_html(self) -> str:
        """The page, complete in one string."""
        lines = ""
        if self.preferences:
            lines = line_chart(
                self.preferences,
                self.preference_steps,
                x_label="round of the fit",
                y_label="layer preference",
                bold=self.chosen,
                width=NARROW,
                height=240,
            )
        rates = [(label, ends_of(before), ends_of(after)) for label, before, after in self.rates]
        page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        drawn = {"rates": interval_chart(rates, width=NARROW) if rates else "", "preferences": lines}
        shown = {**vars(self), **drawn, "not_met": not_met(self.tables)}
        return page.from_string(PAGE.read_text(encoding="utf-8")).render(shown)

    def write(self, path: Path) -> Path:
        """Write the page; returns its path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_html(), encoding="utf-8")
        return path


def _written_on(frames: np.ndarray, words: Sequence[str]) -> np.ndarray:
    """`frames` `[F, H, W, 3]` of clips side by side, a word at the foot of each, in letters that show on any ground."""
    width, height = frames.shape[2] // len(words), frames.shape[1]
    font = ImageFont.load_default(size=max(8, height // 14))
    written = []
    for frame in frames:
        picture = Image.fromarray(frame)
        pen = ImageDraw.Draw(picture)
        for place, word in enumerate(words):
            where = (place * width + height // 40, height - height // 30)
            pen.text(where, word, fill="white", stroke_fill="black", stroke_width=2, anchor="ld", font=font)
        written.append(np.asarray(picture))
    return np.stack(written)
