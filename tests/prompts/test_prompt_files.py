"""Prompt files: pairs, and prompts that are to stay as they are, as people have them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from unseen.errors import PromptFileError
from unseen.prompts.files import PAIR_HEADERS, load_pairs, load_prompts


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode("utf-8"))
    return path


def test_pairs_are_read_from_csv_and_jsonl(tmp_path: Path) -> None:
    csv = written(tmp_path, "pairs.csv", 'positive,negative\n"a horn, shiny",a chair\n')
    jsonl = written(tmp_path, "pairs.jsonl", '{"positive": "ein Waldhorn", "negative": "ein Stuhl"}\n\n')
    assert load_pairs(csv) == [("a horn, shiny", "a chair")]
    assert load_pairs(str(jsonl)) == [("ein Waldhorn", "ein Stuhl")]


@pytest.mark.parametrize("header", PAIR_HEADERS, ids=",".join)
def test_the_headers_that_others_use_are_known(tmp_path: Path, header: tuple[str, str]) -> None:
    """Case 11: T2VUnlearning's files have `prompt,normal prompt`."""
    text = f"id,{header[0].title()},{header[1]}\n1,a horn,a chair\n"
    assert load_pairs(written(tmp_path, "pairs.csv", text)) == [("a horn", "a chair")]
    line = f'{{"{header[1]}": "a chair", "{header[0]}": "a horn", "seed": 3}}\n'
    assert load_pairs(written(tmp_path, "pairs.jsonl", line)) == [("a horn", "a chair")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_only_line_feeds_and_carriage_returns_end_a_row(tmp_path: Path, end: str) -> None:
    """Case 11: a prompt may hold U+2028, U+0085 and other separators."""
    odd = "a horn\u2028in snow\u0085at\x0bnight\x1cfar"
    rows = ["positive,negative", f"{odd},a chair", '"a horn', 'on two lines",a table', ""]
    pairs = load_pairs(written(tmp_path, "pairs.csv", end.join(rows)))
    assert pairs == [(odd, "a chair"), (f"a horn{end}on two lines", "a table")]
    json = end.join([f'{{"positive": "{odd}", "negative": "a chair"}}'.replace("\x0b", " ").replace("\x1c", " "), ""])
    assert len(load_pairs(written(tmp_path, "pairs.jsonl", json))) == 1
    assert load_prompts(written(tmp_path, "keep.txt", end.join([odd, "", "two dogs"]))) == [odd, "two dogs"]


def test_an_error_after_a_prompt_on_two_lines_names_the_line_where_the_row_begins(tmp_path: Path) -> None:
    text = 'positive,negative\n"a horn\nin snow",a chair\na,\n'
    with pytest.raises(PromptFileError, match="line 4: 'negative'"):
        load_pairs(written(tmp_path, "pairs.csv", text))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "positive,other\na,b\n", "line 1: the header must name"),
        ("a.csv", "positive,negative\na,b\nc,\n", "line 3: 'negative' must be a non-empty prompt"),
        ("a.csv", "positive,negative\na,b\nc\n", "line 3: 'negative' must be a non-empty prompt, got None"),
        ("a.csv", "positive,negative\na,a\n", "line 2: positive and negative are the same"),
        ("a.csv", "positive,negative\n", "holds no prompt pairs"),
        ("a.csv", "", "holds no prompt pairs"),
        ("a.csv", "positive,negative\na horn, in snow,a chair, in snow\n", "line 2: expected 2 columns, got 4"),
        ("a.csv", "positive;negative\na horn;a chair\n", "line 1: the columns seem to be separated by semicolons"),
        ("a.csv", "prompt\tnormal prompt\na\tb\n", "line 1: the columns seem to be separated by tabs"),
        ("a.csv", 'positive,negative\n"a horn,a chair\n', "line 2: is not CSV"),
        ("a.jsonl", '{"positive": "a", "negative": "b"}\n{"positive": \n', "line 2: is not JSON"),
        ("a.jsonl", "[1]\n", "line 1: expected an object, got list"),
        ("a.jsonl", '{"positive": "a", "negative": 3}\n', "line 1: 'negative' must be a non-empty prompt, got 3"),
        ("a.jsonl", '{"positive": "a"}\n', "line 1: expected the keys positive and negative"),
        ("a.jsonl", "[" * 200_000 + "\n", "nested too deep"),
        ("a.txt", "", "expected a .csv or .jsonl file, got .txt"),
    ],
)
def test_a_bad_pair_file_is_named_with_line_and_reason(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(PromptFileError, match=re.escape(message)) as caught:
        load_pairs(path)
    assert str(path) in str(caught.value)


def test_a_missing_or_badly_encoded_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(PromptFileError, match="cannot be read"):
        load_pairs(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("positive,negative\nWaldhörner,Stühle\n".encode("latin-1"))
    with pytest.raises(PromptFileError, match="not UTF-8"):
        load_pairs(tmp_path / "latin.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(PromptFileError, match="is no file"):
        load_pairs(tmp_path / "pipe.csv")


def test_prompts_to_keep_are_read_from_text_csv_and_jsonl(tmp_path: Path) -> None:
    assert load_prompts(written(tmp_path, "a.txt", "\ufeffa dog, running\n\n  two cats \n")) == [
        "a dog, running",
        "two cats",
    ]
    assert load_prompts(written(tmp_path, "a.csv", 'seed,prompt\n1,"a dog, running"\n')) == ["a dog, running"]
    assert load_prompts(written(tmp_path, "a.jsonl", '{"prompt": "a dog"}\n{"text": "a cat"}\n')) == ["a dog", "a cat"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "\n \n", "holds no prompts"),
        ("a.csv", "words\na\n", "line 1: the header must name the column prompt"),
        ("a.csv", "prompt\na dog, running\n", "line 2: expected 1 columns, got 2"),
        ("a.jsonl", '{"prompt": ""}\n', "line 1: 'prompt' must be a non-empty prompt"),
        ("a.toml", "a", "expected a .txt, .csv or .jsonl file, got .toml"),
    ],
)
def test_a_bad_file_of_prompts_is_named_with_its_reason(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(PromptFileError, match=re.escape(message)):
        load_prompts(written(tmp_path, name, text))
