"""A report says what its tables say, needs no other file, and its pictures play."""

from __future__ import annotations

import csv
import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unseen.bench.views.charts import interval_chart, line_chart, tradeoff_chart
from unseen.bench.views.media import contact_sheet, side_by_side, webp_data_uri, write_gif, write_mp4
from unseen.bench.views.report import PairGroup, Report, ShownPair
from unseen.bench.views.tables import (
    JUDGED_COLUMNS,
    Count,
    Measure,
    Share,
    Table,
    Target,
    Verdict,
    cell_text,
    judged,
    not_met,
    on_page,
    write_tables,
)
from unseen.metrics.rates import Rate, rate

SIDE = 16


def clip(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (9, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def table() -> Table:
    rng = np.random.default_rng(0)
    prompts, seeds = [f"prompt {i // 2}" for i in range(40)], [i % 8 for i in range(40)]
    before = rate(rng.random((40, 9)) < 0.93, prompts, seeds)
    after = rate(rng.random((40, 9)) < 0.12, prompts, seeds)
    rows = (
        judged("generative rate before", 40, before, Target(0.90), 0.0012),
        judged("generative rate after", 40, after, Target(0.03, at_least=False), 0.0012),
        ("identical | prompts", 40, Count(3, 4), None, None, None),
    )
    return Table("Erased & kept", JUDGED_COLUMNS, rows, "A note.")


@pytest.fixture(scope="module")
def report(table: Table) -> Report:
    pair = ShownPair('a "French horn" <script>alert(1)</script>', clip(1), clip(2), "9 of 9 frames before, 0 after")
    return Report(
        title="French horn, erased",
        lead="gone",
        groups=[PairGroup("Prompts", "note", [pair])],
        tables=[table],
        rates=[("French horn", table.rows[0][2], table.rows[1][2])],
        preference_steps=[0, 1, 2],
        preferences={"block 0": [0.5, 0.3, 0.1], "block 1": [0.5, 0.7, 0.9]},
        chosen="block 1",
        features=Table("Features", ("feature", "tokens"), ((1, "horn <b>"),)),
        facts=[("seed", "0")],
    )


def test_every_number_of_the_tables_is_in_the_report(report: Report, table: Table) -> None:
    page = html.unescape(report.to_html())
    for row in table.texts():
        for text in row:
            assert text in page


def test_the_report_lists_what_is_missed_or_undecided(report: Report, table: Table) -> None:
    listed = re.findall("<li>(.*?)</li>", report.to_html())
    assert [html.unescape(text) for text in listed] == not_met([table]) and len(listed) == 2


def test_text_markdown_and_html_show_the_same_cells(table: Table) -> None:
    markdown = table.to_markdown().replace("\\|", "|")
    for text in (cell for row in table.texts() for cell in row):
        assert text in table.to_text() and text in markdown and text in html.unescape(table.to_html())


def test_csv_holds_the_unrounded_numbers_and_both_ends_of_the_interval(table: Table) -> None:
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    before = table.rows[0][2]
    assert [float(rows[0][c]) for c in ("value", "value low", "value high")] == [before.value, before.low, before.high]
    assert len(rows) == len(table.rows)


def test_what_is_missed_or_undecided_is_named_with_its_number_and_what_is_met_is_not(table: Table) -> None:
    before, after = table.rows[0][2], table.rows[1][2]
    assert [str(row[-1]).split(" (")[0] for row in table.rows[:2]] == ["undecided", "MISSED"]
    first, second = not_met([table])
    assert first == f"Erased & kept, generative rate after: {cell_text(after)}, target ≤ 3 %"
    assert second.startswith(
        f"Erased & kept, generative rate before: {cell_text(before)}, target ≥ 90 %, undecided (≈ "
    )
    columns = ("what", "first", "difference", "target", "met")
    target = Target(0.02, at_least=False)
    other = Table("T", columns, (("x", after, 0.5, target, target.verdict(0.5)),), "")
    assert not_met([other]) == ["T, x: 50 %, target ≤ 2 %"]
    assert not_met([Table("T", ("what", "kB", "met"), (("x", 3, False), ("y", 2, True)))]) == ["T, x: kB 3"]
    kept = judged("others", 40, rate(np.ones((400, 9)), range(400), range(400)), Target(0.98))
    assert not_met([Table("T", JUDGED_COLUMNS, (kept,))]) == []


def none_of(clips: int) -> Rate:
    return rate(np.zeros((clips, 9), bool), range(clips), range(clips))


def test_a_verdict_comes_from_the_interval_not_from_the_value() -> None:
    target = Target(0.03, at_least=False)
    few = target.verdict(none_of(12))
    assert few.outcome == "undecided", "0 of 12 clips is no proof of at most 3 %"
    assert few.enough is not None and 80 < few.enough < 120
    pairs = target.verdict(rate(np.zeros((2, 9)), [0, 0], [0, 1]))
    assert pairs.enough == pytest.approx(2 * few.enough, rel=0.1), "so many prompts, of two clips each"
    assert target.verdict(none_of(few.enough)).outcome == "met", "the number of clips that it names is enough"
    assert target.verdict(rate(np.arange(100)[:, None] < 20, range(100), range(100))) == Verdict("missed")
    for count, hits in ((24, 22), (60, 51)):  # about as many more of the same kind decide
        some = rate(np.arange(count)[:, None] < hits, range(count), range(count))
        more = Target(0.8).verdict(some).enough
        assert more is not None and more > count
        told = []
        for clips in (round(0.7 * more), round(1.3 * more)):
            same = np.arange(clips)[:, None] < round(hits / count * clips)
            told.append(Target(0.8).verdict(rate(same, range(clips), range(clips))).outcome)
        assert told == ["undecided", "met"], more


def test_verdicts_at_the_limits_and_of_numbers_without_an_interval() -> None:
    assert Target(0.9).verdict(0.9).outcome == "met" and Target(0.9).verdict(0.8999).outcome == "missed"
    most = Target(0.03, at_least=False)
    assert most.verdict(0.03).outcome == "met" and most.verdict(0.0301).outcome == "missed"
    assert Target(0.9).verdict(float("nan")) == Verdict("undecided") == most.verdict(float("nan"))
    assert Target(0.9).verdict(Measure(0.95, 0.9, 1.0)).outcome == "met"
    assert Target(0.9).verdict(Measure(0.85, 0.8, 0.9)) == Verdict("undecided"), "its end is still at the target"
    nothing = rate(np.zeros((4, 9)), range(4), range(4))
    unknown = Measure(float("nan"), float("nan"), float("nan"))
    assert most.verdict(unknown) == Verdict("undecided") and Target(0.0).verdict(nothing).outcome == "met"
    at_it = rate(np.arange(10)[:, None] < 9, range(10), range(10))
    assert str(Target(0.9).verdict(at_it)) == "undecided", "no number of clips decides where the value is the target"
    endless = Measure(1.2, 0.3, float("inf"))
    assert Target(0.5, at_least=False).verdict(endless).outcome == "undecided" and "∞" not in cell_text(endless)


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        Table("t", ("a",), ((1, 2),))


def test_the_report_needs_no_other_file_and_runs_no_prompt_as_code(report: Report) -> None:
    page = report.to_html()
    links = re.findall(r"""(?:src|href)=["']([^"']*)""", page)
    assert links and all(link.startswith("data:image/webp;base64,") for link in links)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in page and "<b>horn" not in page and "horn &lt;b&gt;" in page


def test_the_chosen_block_is_drawn_thicker_and_lines_end_at_their_last_value() -> None:
    drawing = line_chart({"a": [0, 1], "b": [1, 0]}, [0, 10], x_label="step", y_label="p", bold="b")
    lines = re.findall(r'stroke-width="([\d.]+)" points="([^"]*)"', drawing)
    assert float(lines[1][0]) > float(lines[0][0])
    heights = [[float(point.split(",")[1]) for point in points.split()] for _, points in lines]
    assert heights[0] == heights[1][::-1] and heights[0][0] > heights[0][1]  # SVG counts downwards


def test_the_ticks_of_a_chart_are_round_numbers_around_its_lines() -> None:
    drawing = line_chart({"a": [0, 0.5077]}, [0, 2], x_label="round", y_label="p")
    assert re.findall(r'text-anchor="end">([^<]*)<', drawing) == ["0", "0.2", "0.4", "0.6"]


def test_a_floor_is_read_in_percent_and_kept_with_all_its_digits() -> None:
    table = Table("Rates", ("floor",), ((Share(0.0002625),),))
    assert table.texts() == [["0.026 %"]] and "0.0002625" in table.to_csv()


def test_a_long_table_is_a_file_beside_its_page(tmp_path: Path) -> None:
    short, long = (Table("All clips", ("clip", "value"), tuple((k, k / 3) for k in range(n))) for n in (15, 16))
    page = tmp_path / "results-x.md"
    assert on_page(short, page) == short.to_markdown() and not (tmp_path / "tables").exists()
    said = on_page(long, page)
    assert "| 3 |" not in said and "16 rows: [results-x-all-clips.csv](tables/results-x-all-clips.csv)" in said
    assert (tmp_path / "tables" / "results-x-all-clips.csv").read_text(encoding="utf-8") == long.to_csv()


def test_a_chart_refuses_series_of_another_length() -> None:
    with pytest.raises(ValueError, match="1 values for 2 steps"):
        line_chart({"a": [1.0]}, [0, 1], x_label="", y_label="")


def test_rates_are_drawn_where_they_are() -> None:
    drawing = interval_chart([("x", (1.0, 0.9, 1.0), (0.0, 0.0, 0.1))])
    places = [float(x) for x in re.findall(r'<circle cx="([\d.]+)" cy="[\d.]+" r="4.5"', drawing)]
    ticks = [float(x) for x in re.findall(r'<text x="([\d.]+)"[^>]*>(?:0|100) %', drawing)]
    assert places == ticks[::-1]


def test_long_labels_have_room_or_are_cut_and_nothing_after_means_no_legend_for_it() -> None:
    labels = ("church", "a person who is holding a sword in a hand", "x" * 80)
    drawing = interval_chart([(label, (0.5, 0.4, 0.6), None) for label in labels])
    drawn = re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="end">([^<]*)</text>', drawing)
    assert [text for _, text in drawn] == [labels[0], f"{labels[1][:39]}…", "x" * 39 + "…"]
    assert all(float(x) >= 7.2 * len(text) for x, text in drawn), "a label begins outside of the picture"
    assert ">before<" in drawing and ">after<" not in drawing
    ends = tradeoff_chart({"another method with a long name": [(0.5, 0.5, "")]}, {})
    [place] = [float(x) for x in re.findall(r'<text x="([\d.]+)" y="32" fill', ends)]
    assert place + 7.2 * len("another method with a long name") <= 640


def test_gif_and_webp_loop_for_ever_over_all_frames(tmp_path: Path) -> None:
    import base64

    write_gif(tmp_path / "a.gif", clip(0))
    webp = base64.b64decode(webp_data_uri(clip(0)).partition(",")[2])
    for picture in (Image.open(tmp_path / "a.gif"), Image.open(io.BytesIO(webp))):
        assert (picture.n_frames, picture.info["loop"], picture.size) == (9, 0, (SIDE, SIDE))


def test_an_mp4_holds_the_clip(tmp_path: Path) -> None:
    import imageio_ffmpeg

    frames = np.repeat(np.arange(9, dtype=np.uint8)[:, None, None, None] * 25, 64, 1).repeat(64, 2).repeat(3, 3)
    write_mp4(tmp_path / "a.mp4", frames)
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "a.mp4"))
    next(reader)
    read = np.stack([np.frombuffer(frame, np.uint8).reshape(64, 64, 3) for frame in reader])
    assert len(read) % 9 == 0
    assert np.abs(read[:9].astype(int) - frames).max() < 12  # compression changes a grey little


def test_pairs_stand_side_by_side_and_must_match() -> None:
    both = side_by_side(clip(0), clip(1), gap=2)
    assert both.shape == (9, SIDE, 2 * SIDE + 2, 3)
    assert np.array_equal(both[:, :, :SIDE], clip(0)) and np.array_equal(both[:, :, -SIDE:], clip(1))
    with pytest.raises(ValueError, match="one shape"):
        side_by_side(clip(0), clip(1)[:5])


def test_a_contact_sheet_has_a_row_per_pair() -> None:
    heights = [contact_sheet([("caption", clip(0), clip(1))] * rows).size[1] for rows in (1, 2, 3)]
    assert heights[2] - heights[1] == heights[1] - heights[0] > SIDE


def test_tables_are_written_as_one_markdown_file_and_a_csv_each(tmp_path: Path, table: Table) -> None:
    other = Table("Second", ("a",), ((1,),))
    paths = write_tables([table, other], tmp_path, "objects")
    assert [p.name for p in paths] == [
        "objects.md", "objects-erased-kept.csv", "objects-erased-kept.tex", "objects-second.csv", "objects-second.tex",
    ]  # fmt: skip
    assert paths[0].read_text(encoding="utf-8").count("###") == 2
