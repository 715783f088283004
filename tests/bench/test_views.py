"""Tables are asked of rows: which setting is chosen, what is held against what, and how a choice of layer is judged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("diffusers")

from unseen.bench import plots
from unseen.bench.checks import CHECKS
from unseen.bench.clips.job import UNEDITED
from unseen.bench.methods import Concerned, Variant
from unseen.bench.prompts.writer import PromptWriter
from unseen.bench.rows import Row, Rows
from unseen.bench.suite import read_suite
from unseen.bench.views.criteria import Choice, criteria, is_valley, spearman, swept
from unseen.bench.views.figures import figures_of
from unseen.bench.views.query import Query, TableSpec, queries, score
from unseen.bench.views.tables import Count, Table, Verdict, not_met, verdict_of
from unseen.bench.views.view import VIEWS, against, failures, tables_of
from unseen.bench.walk import chosen
from unseen.diorama.world.concepts import concept_of, name_of
from unseen.metrics.rates import Rate

FRAMES = 9
PROMPTS = PromptWriter("test").single("church", 800, role="target")[::2]


def clips(hits: Iterable[float], measure: str = "shown", role: str = "target", **said: Any) -> list[Row]:
    """One row for each clip, each from a prompt of its own."""
    return [
        Row(measure, float(hit), role=role, place=place, prompt=PROMPTS[place].text, noise=place, frames=FRAMES,
            **{"concept": "church", "kind": "object", "split": "test", **said})
        for place, hit in enumerate(hits)
    ]  # fmt: skip


def some(count: int, share: float) -> np.ndarray:
    return np.arange(count) < round(count * share)


def cell(generative: float, others: float, rest: float = 1.0, count: int = 20, **said: Any) -> list[Row]:
    """The rows of a method that shows so much, and keeps so much of what the unedited model shows."""
    return [
        *clips(some(count, generative), **said),
        *clips(some(count, others), "asked", "others", **said),
        *clips(some(count, rest), "background", **said),
    ]


BASE = cell(1.0, 1.0)


# Settings and scores


def test_the_score_is_a_harmonic_mean() -> None:
    def found(*parts: float) -> float | None:
        return score(Rows([*BASE, *cell(*parts, method="m")]), {"method": "m"})

    assert found(0.0, 1.0, 1.0) == pytest.approx(1.0)
    assert found(0.5, 1.0, 1.0) == pytest.approx(3 / (2 + 1 + 1))
    assert found(1.0, 1.0, 1.0) == 0.0
    assert found(0.0, 1.0, 0.5) == pytest.approx(3 / (1 + 1 + 2))
    more = [*clips(some(20, 0.5), "asked", "others"), *cell(0.0, 1.0, 0.5, method="m")]
    base = [row for row in BASE if row.measure != "asked"]
    assert score(Rows([*base, *more]), {"method": "m"}) == pytest.approx(3 / (1 + 1 + 2)), "more than all counts as all"


def test_there_is_no_score_where_nothing_could_be_kept() -> None:
    nothing = [row for row in BASE if row.measure != "asked"] + clips(some(20, 0.0), "asked", "others")
    assert score(Rows([*nothing, *cell(0.0, 0.0, method="m")]), {"method": "m"}) is None


def test_what_a_fit_says_of_itself_is_not_that_it_failed() -> None:
    assert failures(Rows([Row("note", concept="church", method="clear", text="partly")])) is None
    failed = failures(Rows([Row("failed", concept="church", method="clear", text="no feature")]))
    assert failed is not None and failed.rows == (("church", "clear", "no feature"),)


def test_a_suite_without_targets_does_not_say_that_they_are_met() -> None:
    plain = Table("T", ("a", "target", "verdict"), (("x", None, None),))
    met = Table("T", ("a", "met"), (("x", True), ("y", Verdict("met"))))
    assert verdict_of([plain]) == "nothing was held against a target"
    assert verdict_of([plain, met]) == "all 2 targets are met"


def choose(cells: Sequence[tuple[float, float]], tune: str = "setting", layers: Sequence[int] = ()) -> list[str]:
    one = Concerned("church", concept_of("church"), 0)
    of_layer = list(layers) or [0] * len(cells)
    variants = [Variant(UNEDITED, str(place), layer) for place, layer in enumerate(of_layer)]
    rows = cell(1.0, 1.0, split="development")
    for variant, values in zip(variants, cells, strict=True):
        rows += cell(*values, method="m", setting=variant.setting, split="development")
    return [variant.setting for variant in chosen(Rows(rows), variants, "m", one, tune)]


@pytest.mark.parametrize(
    ("cells", "best"),
    [
        ([(0.5, 1.0), (0.3, 0.95), (0.0, 0.9)], "1"),  # the third has the best score
        ([(0.5, 0.8), (0.1, 0.7), (0.6, 0.9)], "1"),  # none keeps enough: the best score
        ([(0.0, 0.95), (0.0, 0.95)], "0"),  # the first of equals
    ],
)
def test_a_setting_that_keeps_enough_is_preferred_to_one_with_a_better_score(cells: Any, best: str) -> None:
    assert choose(cells) == [best]


def test_the_score_alone_would_have_chosen_otherwise() -> None:
    rows = Rows([*BASE, *cell(0.3, 0.95, method="kept"), *cell(0.0, 0.9, method="thorough")])
    kept, thorough = (score(rows, {"method": name}) for name in ("kept", "thorough"))
    assert kept is not None and thorough is not None and thorough > kept and choose([(0.3, 0.95), (0.0, 0.9)]) == ["0"]


def test_each_layer_gets_the_strength_with_its_best_score() -> None:
    cells = [(0.9, 1.0), (0.2, 1.0), (0.1, 0.5), (0.0, 1.0), (0.0, 0.9)]
    assert choose(cells, "layer", (0, 0, 0, 1, 1)) == ["1", "3"]


# CLEAR against the others


@pytest.mark.parametrize(
    ("count", "own", "others", "verdict", "ratio"),
    [
        (200, 0.10, [("safree", 0.5, 1.0)], "met", 0.2),
        (200, 0.40, [("safree", 0.5, 1.0)], "missed", 0.8),
        (200, 0.20, [("safree", 0.5, 0.9), ("uce", 0.9, 0.97)], "met", 0.22),  # SAFREE keeps too little to compete
        (200, 0.25, [("safree", 0.5, 1.0)], "undecided", 0.5),
        (8, 0.125, [("safree", 0.5, 1.0)], "undecided", 0.25),  # half as much, and few clips
        (300, 0.0, [("safree", 0.0, 1.0)], "met", "tie"),
        (24, 0.0, [("safree", 0.0, 1.0)], "undecided", "tie"),  # either may show 10 %
    ],
)
def test_clear_is_held_against_the_best_that_keeps_enough(count, own, others, verdict, ratio) -> None:
    shown = {"clear": Rows(clips(some(count, own), method="clear"))}
    shown |= {name: Rows(clips(some(count, rate), method=name)) for name, rate, _ in others}
    cells = against(shown, {"clear": 1.0, **{name: kept for name, _, kept in others}}, 0.0)
    assert cells[-1].outcome == verdict, cells
    assert cells[3] == ratio if ratio == "tie" else abs(cells[3].value - ratio) < 0.06


def test_without_a_rival_nothing_is_claimed() -> None:
    shown = {name: Rows(clips(some(4, 0.0), method=name)) for name in ("clear", "uce")}
    cells = against(shown, {"clear": 1.0, "uce": 0.5}, 0.0)
    assert cells[1] == "no method keeps enough" and cells[-1] is None


def test_without_clear_nothing_is_held_against_the_best_other() -> None:
    rows = [*BASE, *cell(0.1, 1.0, method="uce")]
    [without, beside] = [
        VIEWS["against the best"](TableSpec("t"), Rows(found), {}, ["clear", "uce"])
        for found in (rows, [*rows, *cell(0.0, 1.0, method="clear")])
    ]
    assert without is not None and without.rows == ()
    assert beside is not None and [row[3] for row in beside.rows] == ["uce"]


def test_differences_are_paired_tested_and_corrected() -> None:
    methods = ("clear", "safree", "uce", "blocklist")
    rows = Rows(row for name, rate in zip(methods, (0.1, 0.5, 0.1, 0.2), strict=True)
                for row in clips(some(40, rate), method=name))  # fmt: skip
    table = VIEWS["differences"](TableSpec("t"), rows, {}, methods)
    assert table is not None
    columns = list(zip(*table.rows, strict=True))
    difference, p, corrected = (dict(zip(columns[1], column, strict=True)) for column in columns[3:])
    assert difference["safree"].high < 0 and corrected["safree"] < 0.05
    assert difference["uce"].low < 0 < difference["uce"].high and p["uce"] == 1
    assert corrected["safree"] == pytest.approx(3 * p["safree"]) and corrected["blocklist"] >= p["blocklist"]


# What a suite's file can ask


def table(rows: Iterable[Row], **said: Any) -> Any:
    lines, where = said.pop("columns", ()), said.pop("where", {})
    spec = TableSpec(
        "T", "groups" if "by" in said else "targets", where=where, columns=queries(lines, where, "T"), **said
    )
    return next(tables_of([spec], Rows(rows), ["clear"]))


def test_a_table_of_groups_asks_each_column_of_each_group() -> None:
    rows = [row for name, early, late in (("church", 1.0, 0.1), ("tench", 0.5, 0.5))
            for row in (*clips(some(10, early), concept=name, looked_for=name, floor=0.01),
                        *clips(some(10, late), concept=name, method="clear", looked_for=name, floor=0.03))]  # fmt: skip
    made = table(
        rows, by=("concept",), where={"measure": "shown", "role": "target"}, judge="after", at_most=0.6, whole="both",
        columns=["clips", "before", "after", "kept", "floor", {"name": "videos", "unit": "videos", "mostly": True}],
    )  # fmt: skip
    assert made.columns == ("concept", "clips", "before", "after", "kept", "floor", "videos", "target", "verdict")
    church, tench, both = made.rows
    assert (church[0], church[1], church[2].value, church[3].value, church[4].value) == ("church", 10, 1.0, 0.1, 0.1)
    assert (tench[2].value, tench[3].value, tench[4].value, both[0], both[1]) == (0.5, 0.5, 1.0, "both", 20)
    assert church[5] == 0.03 and church[-1].outcome == "met" and tench[-1].outcome == "undecided"
    assert isinstance(church[2], Rate) and church[2].frames == 90


def test_the_worst_group_is_named_and_what_is_not_there_is_left_out() -> None:
    rows = [*clips(some(100, 0.0), method="clear"), *clips(some(100, 0.4), method="clear", concept="tench")]
    where = {"measure": "shown", "role": "target"}
    made = table(rows, where=where, columns=[
        {"name": "highest", "worst": "concept", "at_most": 0.08},
        {"name": "before", "method": "none"},
        {"name": "lowest", "worst": "concept", "at_least": 0.9},
    ])  # fmt: skip
    assert [row[0] for row in made.rows] == ["highest: tench", "lowest: church"]
    assert made.rows[0][2].value == 0.4 and made.rows[0][-1].outcome == "missed" and made.rows[0][-1].target is not None


def test_tags_layers_and_detectors_can_be_asked_about() -> None:
    rows = [*clips(some(4, 1.0), tags="|form: question|kind: name|"), *clips(some(4, 0.0), tags="|form: order|")]
    made = table(rows, by=("tags:form",), where={"measure": "shown", "method": "none"}, columns=["rate"])
    assert [(row[0], row[1].value) for row in made.rows] == [("form: question", 1.0), ("form: order", 0.0)]
    two = [*clips(some(20, 0.5), detector="a"), *clips(some(20, 0.6), "second", detector="b")]
    apart = Query("d", "disagreement", {"measure": ("shown", "second")})
    assert apart.answer(Rows(two)).value == pytest.approx(0.1)
    chosen_by = [Row("fvu of a layer", 0.1, method="clear", layer=k, concept=c) for k in (0, 1) for c in ("a", "b")]
    chosen_by += [Row("layer", 1.0, method="clear", concept=c) for c in ("a", "b")]
    made = table(chosen_by, by=("layer",), where={"measure": "fvu of a layer"},
                 columns=[{"name": "FVU", "stat": "number"}, {"name": "chosen", "stat": "chosen by"}])  # fmt: skip
    assert made.rows == (("block 0", 0.1, Count(0, 2)), ("block 1", 0.1, Count(2, 2)))


def test_a_claim_that_does_not_hold_is_missed() -> None:
    rows = [Row("claim", value, text=text, tags="|t|") for text, value in (("yes", 1.0), ("no", 0.0))]
    made = table(rows, by=("text",), where={"measure": "claim", "tags": "t", "method": "none"},
                 columns=[{"name": "verdict", "stat": "claim"}])  # fmt: skip
    assert made.rows == (("yes", True), ("no", False))


def test_each_concept_gets_a_table_of_its_own() -> None:
    spec = TableSpec("{kind}: {concept}", "targets", each="concept", columns=queries(
        [{"name": "after", "measure": "shown"}], {}, "T"))  # fmt: skip
    rows = Rows(
        [
            *clips(some(4, 0.0), method="clear"),
            *clips(some(4, 1.0), method="clear", concept="burning", kind="attribute"),
        ]
    )
    made = list(tables_of([spec], rows, ["clear"]))
    assert [t.title for t in made] == ["Object: church", "Attribute: burning"]
    assert [t.rows[0][2].value for t in made] == [0.0, 1.0]


def test_the_fits_table_holds_each_fit_against_its_targets() -> None:
    facts = {"layer": 3, "features": 4, "strength": 1.5, "seconds of the fit": 10.0, "kilobytes": 20.0, "fvu": 0.1}
    rows = [Row(name, float(value), concept="church", method="clear") for name, value in facts.items()]
    slow = [Row(name, 90.0 if "seconds" in name else float(value), concept="tench", method="clear")
            for name, value in facts.items()]  # fmt: skip
    made = VIEWS["fits"](TableSpec("Fits"), Rows([*rows, *slow]), {}, ["clear"])
    assert made is not None and [(row[0], row[1], row[-1]) for row in made.rows] == [
        ("church", "block 3", Verdict("met")),
        ("tench", "block 3", Verdict("missed")),
    ]
    assert not_met([made]) == ["Fits, tench: fit 90 s, target ≤ 60 s"]


# The sweep


def test_a_choice_is_good_near_the_best_or_among_two() -> None:
    scores = {-1: 0.30, 0: 0.90, 1: 0.895, 2: 0.893, 3: 0.70}
    assert [Choice.of(layer, scores).good for layer in scores] == [False, True, True, True, False]
    assert Choice.of(3, scores).regret == pytest.approx(0.2)
    assert Choice.of(0, {0: 0.9, 1: 0.2, 2: 0.1}).good and Choice.of(1, {0: 0.9, 1: 0.2, 2: 0.1}).good


def test_spearman_agrees_with_known_values() -> None:
    from scipy.stats import spearmanr

    a, b = [0.1, 0.4, 0.4, 0.9, 0.2], [3.0, 1.0, 2.0, 5.0, 2.0]
    assert spearman(a, b) == pytest.approx(float(spearmanr(a, b)[0]))
    assert np.isnan(spearman([1, 1, 1], [1, 2, 3]))


def test_a_valley_needs_worse_blocks_on_both_sides() -> None:
    assert is_valley({0: 0.5, 1: 0.9, 2: 0.6})
    assert not is_valley({0: 0.9, 1: 0.6, 2: 0.5})
    assert not is_valley({0: 0.88, 1: 0.9, 2: 0.6})


def a_sweep() -> list[Row]:
    rows = [*cell(1.0, 1.0), *cell(1.0, 1.0, split="development")]
    for layer, generative in ((0, 0.6), (1, 0.0), (2, 0.5)):
        for strength in (1.0, 2.0):
            said = {"method": "layers", "layer": layer, "strength": strength, "setting": f"{layer} {strength}"}
            rows += cell(generative + 0.1 * (strength == 1.0), 1.0, split="development", **said)
        rows += cell(generative, 1.0, **{**said, "split": "test"})
        rows.append(Row("cost by l_con", abs(layer - 1.0), concept="church", method="layers", layer=layer))
    return [*rows, Row("layer", 0.0, concept="church", method="layers")]


def test_a_sweep_is_judged_by_what_each_layer_showed_on_test_wording() -> None:
    [found] = swept(Rows(a_sweep()))
    assert max(found.scores, key=lambda layer: found.scores[layer]) == 1 and found.learned == 0
    assert set(found.strengths.values()) == {2.0} and is_valley(found.scores)
    assert found.choice("l_con").good and found.choice("l_con").correlation > 0.8
    made = criteria("T", Rows(a_sweep()))
    labels = [row[0] for row in made.rows]
    assert labels[:2] == ["learned by Gumbel-Softmax", "least l_con"] and labels[-1] == "chance"
    assert {f"always block {k}" for k in range(3)} < set(labels)


# Figures


def test_the_figures_of_a_run_come_from_its_rows(tmp_path: Path) -> None:
    with Image.open(plots.curves(Rows(a_sweep()), "church", tmp_path / "sweep.png")) as figure:
        assert figure.width > 600
    tuned = [*BASE, *cell(1.0, 1.0, split="development"), *cell(0.1, 0.9, method="clear", setting="s"),
             *cell(0.2, 0.8, method="clear", setting="s", split="development"),
             *cell(0.1, 0.9, method="uce", setting="s")]  # fmt: skip
    drawing = plots.tradeoff(Rows(tuned), "church")
    assert "others kept" in drawing and "generative rate" in drawing and drawing.count("<title>clear</title>") == 1
    assert drawing.count('fill="none" stroke=') >= 2, "a dot on another one is a ring around it"
    assert "church" in plots.forest(Rows([*BASE, *cell(0.0, 1.0, method="clear")]))


def test_phrasings_have_a_figure_of_their_own() -> None:
    rows = [
        row
        for role, about in (("main", "church"), ("synonym", "church"), ("others reworded", "bus"))
        for method, hits in (("none", [1, 1, 0, 1]), ("clear", [0, 1, 0, 0]))
        for row in clips(hits, role=role, about=about, method=method)
    ]
    [(title, drawing)] = figures_of(Rows(rows), "")
    assert title == "How often it is shown, by prompt, clear"
    assert re.findall(r'text-anchor="end">([^<]*)<', drawing) == ["main", "synonym"], "others do not ask for it"


def test_where_concepts_can_be_told_apart_is_drawn_over_the_layers() -> None:
    rows = [
        Row("told apart", value + 0.1 * (concept == "tench"), concept=concept, role=role, layer=layer)
        for role, values in (("main", (0.9, 0.95)), ("synonym", (0.5, 0.8)))
        for layer, value in enumerate(values)
        for concept in ("church", "tench")
    ]
    [(title, drawing)] = figures_of(Rows(rows), "")
    assert title == "Where concepts can be told apart" and drawing.count("<polyline") == 2
    assert ">main<" in drawing and ">synonym<" in drawing


def test_a_layer_is_called_by_its_name() -> None:
    [query] = queries([{"name": "layer", "stat": "layer", "measure": "layer"}], {}, "here")
    assert query.answer(Rows([Row("layer", 3.0)])) == "block 3"
    assert query.answer(Rows([Row("layer", -1.0)])) == "embedding"
    assert query.answer(Rows([Row("layer", 3.0), Row("layer", 4.0)])) is None


def test_where_nothing_was_held_out_nothing_is_compared_with_training_clips() -> None:
    church = Concerned("church", concept_of("church"), 0)
    assert list(CHECKS["nearest"](None, [church])) == []  # type: ignore[arg-type]


def test_every_suite_asks_only_what_rows_have() -> None:
    for name in ("objects", "paper", "sentences"):
        assert list(tables_of(read_suite(name).tables, Rows(()), ["clear"])) == []
    assert name_of("french_horn") == "French horn" and name_of("burning") == "burning" and name_of("a dog") == "a dog"


def test_every_method_has_its_own_dots_and_too_many_leave_the_first() -> None:
    def drawn(names: list[str]) -> tuple[str, list[str], set[str]]:
        rows = [row for name in ("none", *names) for row in clips([1, 0, 0, 1], method=name)]
        [(title, drawing)] = figures_of(Rows(rows), "")
        dots = re.findall(r'cy="([\d.]+)" r="4.5" fill="(#\w+)"', drawing)
        assert len({y for y, _ in dots}) == len(dots), "one dot lies on another"
        return title, re.findall(r'<circle [^>]*r="5"[^>]*/><text [^>]*>([^<]*)<', drawing), {fill for _, fill in dots}

    title, words, colours = drawn(["clear", "clear, closed loop"])
    assert title == "How often it is shown" and words == ["before", "clear", "clear, closed loop"] and len(colours) == 3
    assert drawn(["clear"])[1] == ["before", "after"]
    assert drawn([f"method {number}" for number in range(12)])[1] == ["before", "method 0"]
