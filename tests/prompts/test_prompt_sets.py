"""The field's prompt sets, in small files of the same form: what is read, and what is said of a column that lacks."""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path

import pytest

from unseen.bench.faults.prompts import CONTENTS
from unseen.cli import score
from unseen.errors import PromptFileError
from unseen.prompts.files import VideoPrompt, load_pairs
from unseen.prompts.sets import FORMATS, SetPrompt, load_prompt_set, prompts_of_videos

SAFESORA = [
    {"prompt_id": "a1", "prompt_text": "a dog runs", "prompt_type": "safety_neutral", "prompt_labels": None},
    {
        "prompt_id": "b2",
        "prompt_text": "two men fight",
        "prompt_type": "safety_critical",
        "prompt_labels": {"violence": True, "porn": False, "racism": None},
    },
]
VBENCH = [
    {"prompt_en": "a bus, still", "dimension": ["temporal_flickering"]},
    {"prompt_en": "a cat and a dog", "dimension": ["multiple_objects"], "auxiliary_info": {"object": "cat and dog"}},
]
EMMA = [{"horn": ["a horn in the snow", "someone plays a horn"]}, {"church": ["a church"]}]
CASES = 'case_number,prompt,evaluation_seed,evaluation_guidance\n3,"a church, in snow",17,7.5\n4,a chapel,18,7.5\n'
I2P = (
    "prompt,categories,hard,inappropriate_percentage,nudity_percentage,sd_seed,sd_guidance_scale\n"
    '"a fight, painted","violence, shocking",0,60.0,0.0,123,7\na street,hate,1,50.0,0.0,9,8\n'
)
HUB_LINES = 'a photo of a cross\n"majestic" cathedral, 8k\n'
HUB_NOUNS = "noun,similarity\nspire,0.77\nbell_tower,0.7\n"
HUB_LANGUAGES = (
    "Index,Original,Spanish,French,German,Italian,Portuguese\n"
    "4,a church,una iglesia,une église,eine Kirche,una chiesa,uma igreja\n"
)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_t2vsafetybench_is_a_prompt_a_line_in_numbered_files(tmp_path: Path) -> None:
    path = written(tmp_path, "3.txt", "two men fight, outside\n\na duel\n")
    assert load_prompt_set(path, "t2vsafetybench") == [
        SetPrompt("two men fight, outside", 0, tags=("category: violence",)),
        SetPrompt("a duel", 1, tags=("category: violence",)),
    ]
    assert load_prompt_set(written(tmp_path, "15.txt", "x"), "t2vsafetybench")[0].tags == ()


@pytest.mark.parametrize("packed", [False, True], ids=["json", "json.gz"])
def test_safesora_is_a_list_of_objects_packed_or_not(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / ("config.json.gz" if packed else "config.json")
    text = json.dumps(SAFESORA).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    assert load_prompt_set(path, "safesora") == [
        SetPrompt("a dog runs", 0, tags=("type: safety_neutral",)),
        SetPrompt("two men fight", 1, tags=("type: safety_critical", "category: violence")),
    ]


@pytest.mark.parametrize("name", ["ring-a-bell", "unlearndiffatk"])
def test_attacks_come_with_their_number_and_seed(tmp_path: Path, name: str) -> None:
    assert load_prompt_set(written(tmp_path, "church.csv", CASES), name) == [
        SetPrompt("a church, in snow", 3, 17),
        SetPrompt("a chapel", 4, 18),
    ]


def test_ring_a_bells_pairs_can_be_fitted_on(tmp_path: Path) -> None:
    assert load_pairs(written(tmp_path, "30.csv", "prompt,prompt1\na horn,a chair\n")) == [("a horn", "a chair")]


def test_i2p_comes_with_categories_and_seeds(tmp_path: Path) -> None:
    path = written(tmp_path, "i2p.csv", I2P)
    assert load_prompt_set(path, "i2p") == [
        SetPrompt("a fight, painted", 0, 123, ("category: violence", "category: shocking")),
        SetPrompt("a street", 1, 9, ("category: hate",)),
    ]
    assert [p.text for p in load_prompt_set(path, "i2p", ["category: hate"])] == ["a street"]


def test_emma_says_concept_and_kind(tmp_path: Path) -> None:
    path = written(tmp_path, "4_short.json", json.dumps(EMMA))
    prompts = load_prompt_set(path, "emma")
    assert [p.text for p in prompts] == ["a horn in the snow", "someone plays a horn", "a church"]
    assert [p.number for p in prompts] == [0, 1, 2] and prompts[2].tags == ("concept: church", "kind: short")
    assert load_prompt_set(path, "emma", ["concept: church"]) == prompts[2:]
    with pytest.raises(PromptFileError, match="no prompt has 'concept: tench'; this file has the tags 'conc"):
        load_prompt_set(path, "emma", ["concept: tench"])


def test_hub_has_three_kinds_of_files(tmp_path: Path) -> None:
    lines = load_prompt_set(written(tmp_path, "lines.csv", HUB_LINES), "hub")
    assert [p.text for p in lines] == ["a photo of a cross", '"majestic" cathedral, 8k']
    headed = load_prompt_set(written(tmp_path, "headed.csv", 'prompt\n"a church, 8k"\n'), "hub")
    assert headed == [SetPrompt("a church, 8k", 0)]
    nouns = load_prompt_set(written(tmp_path, "nouns.csv", HUB_NOUNS), "hub")
    assert nouns == [SetPrompt("a photo of spire", 0), SetPrompt("a photo of bell_tower", 1)]
    translated = load_prompt_set(written(tmp_path, "translated.csv", HUB_LANGUAGES), "hub")
    assert len(translated) == 6 and translated[3] == SetPrompt("eine Kirche", 3, tags=("language: german",))


def test_vbench_is_a_prompt_a_line_or_the_list_of_all(tmp_path: Path) -> None:
    prompts = load_prompt_set(written(tmp_path, "VBench_full_info.json", json.dumps(VBENCH)), "vbench")
    assert prompts[1] == SetPrompt("a cat and a dog", 1, tags=("dimension: multiple_objects",))
    lines = written(tmp_path, "scene.txt", "a bus, still\na cat and a dog\n")
    assert [p.text for p in load_prompt_set(lines, "vbench")] == [p.text for p in prompts]


@pytest.mark.parametrize(
    ("name", "format", "text", "message"),
    [
        ("a.csv", "i2p", "prompt,categories\na,b\n", "must name the columns prompt and categories and sd_seed, got ["),
        ("a.csv", "i2p", "prompt,categories\na,b\n", "got ['prompt', 'categories'], without sd_seed."),
        ("a.csv", "i2p", I2P.replace("123", "none"), "line 2: 'sd_seed' must be a whole number, got 'none'"),
        ("a.csv", "ring-a-bell", "text,case_number,evaluation_seed\na,1,2\n", "without prompt."),
        ("a.csv", "unlearndiffatk", CASES.replace("evaluation_seed", "seed"), "without evaluation_seed."),
        ("a.csv", "unlearndiffatk", CASES.replace("a chapel", " "), "line 3: 'prompt' must be a non-empty prompt"),
        ("a.csv", "hub", HUB_LANGUAGES.replace("French", "Dutch"), "without french."),
        ("a.csv", "hub", HUB_LANGUAGES.replace("eine Kirche", ""), "line 2: 'german' must be a non-empty prompt"),
        ("a.json", "safesora", '[{"text": "a"}]', "entry 0: expected the key 'prompt_text', got ['text']"),
        ("a.json", "vbench", '[{"prompt": "a"}]', "entry 0: expected the key 'prompt_en', got ['prompt']"),
        ("a.json", "vbench", '[{"prompt_en": 3}]', "entry 0: 'prompt_en' must be a non-empty prompt, got 3"),
        ("a.json", "emma", '{"horn": ["a"]}', "expected a list of objects"),
        ("a.json", "emma", '[{"horn": "a"}]', "entry 0: expected a list of prompts for 'horn'"),
        ("a.json", "emma", "[[", "is not JSON that can be read"),
        ("a.json", "emma", "[" * 100_000, "is not JSON that can be read"),
        ("a.json.gz", "safesora", "no gzip", "cannot be unpacked"),
        ("a.txt", "vbench", "\n \n", "holds no prompts"),
        ("a.txt", "vbenchmark", "a\n", "knows no format 'vbenchmark'; choose among t2vsafetybench,"),
    ],
)  # fmt: skip
def test_a_file_that_lacks_something_is_named_with_what_it_lacks(
    tmp_path: Path, name: str, format: str, text: str, message: str
) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(PromptFileError, match=re.escape(message)) as caught:
        load_prompt_set(path, format)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("format", FORMATS)
def test_whatever_a_file_holds_is_read_or_refused_in_one_sentence(tmp_path: Path, format: str) -> None:
    for suffix in ("csv", "json", "json.gz", "txt"):
        path = tmp_path / f"prompts.{suffix}"
        for content in CONTENTS.values():
            path.write_bytes(content)
            try:
                load_prompt_set(path, format)
            except PromptFileError as error:
                assert path.name in str(error) and "\n" not in str(error).strip()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json.gz")
    with pytest.raises(PromptFileError, match="is no file"):
        load_prompt_set(tmp_path / "config.json.gz", "safesora")


def test_videos_say_by_their_names_what_they_are_from(tmp_path: Path) -> None:
    cases = written(tmp_path, "church.csv", CASES)
    found = prompts_of_videos(cases, "unlearndiffatk", ["3.mp4", "after/0004-1.mp4", "9.mp4", "3b.mp4", "4_0"])
    assert found == {
        "3.mp4": VideoPrompt("a church, in snow", "17"),
        "after/0004-1.mp4": VideoPrompt("a chapel", "18"),
        "4_0": VideoPrompt("a chapel", "18"),
    }
    lines = written(tmp_path, "all.txt", "a bus, still\nA house, ca. 1800.\n")
    names = ["a bus, still-0.mp4", "A house, ca. 1800.-4.mp4", "a bus-0.mp4"]
    assert {name: found.prompt for name, found in prompts_of_videos(lines, "vbench", names).items()} == {
        "a bus, still-0.mp4": "a bus, still",
        "A house, ca. 1800.-4.mp4": "A house, ca. 1800.",
    }


def test_the_command_line_names_the_same_formats() -> None:
    assert tuple(FORMATS) == score.FORMATS
