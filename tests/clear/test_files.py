"""Files that somebody else made, and files that several write at once: one clear error each, or a whole pair."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import random
import threading
import time

import pytest
import torch

from unseen import ClearEraser, DamagedFileError
from unseen.bench.ways.crafted.planted import sound_parts
from unseen.clear.eraser import METADATA_FILE, WEIGHTS_FILE
from unseen.files import MAX_JSON, write_pair

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 12345\n"


@pytest.fixture
def folder(tmp_path):
    """A folder with a sound eraser."""
    sound_parts(random.Random(0)).write(tmp_path)
    return tmp_path


def replace(path, make):
    path.unlink()
    make(path)


def refused(folder, message, seconds=2.0):
    start = time.perf_counter()
    with pytest.raises(DamagedFileError, match=message) as caught:
        ClearEraser.from_pretrained(folder)
    assert time.perf_counter() - start < seconds
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", [METADATA_FILE, WEIGHTS_FILE])
def test_a_git_lfs_pointer_is_named(folder, name):
    (folder / name).write_bytes(POINTER)
    refused(folder, f"{name}: this is a Git LFS pointer.*git lfs pull")


def sparse(path):
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("name", [METADATA_FILE, WEIGHTS_FILE])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (os.mkfifo, "expected a regular file, got a named pipe"),
        (os.mkdir, "expected a regular file, got a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "expected a regular file, got a device"),
        (lambda path: path.symlink_to(path), "cannot read"),
        (lambda path: path.symlink_to(path.with_name("gone")), "cannot read"),
        (sparse, "expected at most .* bytes, got 1,099,511,627,776"),
        (lambda path: None, "cannot read .*No such file"),
    ],
    ids=["pipe", "folder", "endless", "loop", "dangling", "terabyte", "missing"],
)
def test_only_regular_files_of_sane_size_are_read(folder, name, make, message):
    replace(folder / name, make)
    refused(folder, message)


def test_a_link_to_a_regular_file_is_read_as_caches_have_it(folder):
    for name in (METADATA_FILE, WEIGHTS_FILE):
        (folder / name).rename(folder / f"blob-{name}")
        (folder / name).symlink_to(folder / f"blob-{name}")
    assert ClearEraser.from_pretrained(folder).name == "zeppelin"


@pytest.mark.parametrize("wrong", ["nowhere", "a\0b", "x" * 300, METADATA_FILE])
def test_a_folder_that_is_none_is_refused(folder, wrong):
    refused(folder / wrong, "cannot read")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 200_000, "recursion"),
        (b'{"a":' * 200_000, "recursion"),
        (b"", "is not valid JSON"),
        (b"[1]", "expected an object, got list"),
        (b"null", "expected an object"),
        (b"\xff\xfe\x00", "codec can't decode"),
        (b'{"format_version": 4, "format_version": 4}', "a key is there twice"),
        (b'{"format_version": NaN}', "NaN is no JSON number"),
        (b'{"format_version": 1e999}', "1e999 is no JSON number"),
        (b'{"format_version": ' + b"4" * 100_000 + b"}", "is not valid JSON"),
        (b"{}", "expected format version 4, got None"),
        (b'{"format_version": true}', "expected format version 4, got True"),
        (b" " * (MAX_JSON + 1), "expected at most"),
    ],
)
def test_json_is_read_strictly_and_within_bounds(folder, text, message):
    (folder / METADATA_FILE).write_bytes(text)
    refused(folder, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": None}, "expected int for 'layer', got NoneType"),
        ({"layer": True}, "expected int for 'layer', got bool"),
        ({"strength": "3"}, "expected int or float for 'strength', got str"),
        ({"strength": -1.0}, "strength must be a finite number ≥ 0"),
        ({"concept": {"name": "zeppelin"}}, "a concept must be an object with"),
        ({"surplus": 1}, "got 'surplus' as well"),
    ],
)
def test_facts_are_checked_though_their_checksum_is_right(folder, change, message):
    eraser = ClearEraser.from_pretrained(folder)
    facts = json.loads((folder / METADATA_FILE).read_text())
    for name in ("format_version", "weights_sha256", "sha256"):
        del facts[name]
    write_pair(folder, "unseen_eraser", 4, {**facts, **change}, {"W_dec": eraser.W_dec})
    refused(folder, message if "number" not in message and "concept" not in message else "expected the tensors")
    parts = {name: getattr(eraser, name) for name in vars(eraser) if isinstance(getattr(eraser, name), torch.Tensor)}
    del parts["witness"]
    write_pair(folder, "unseen_eraser", 4, {**facts, **change}, parts)
    refused(folder, message)
    del facts["layer"]
    write_pair(folder, "unseen_eraser", 4, facts, parts)
    refused(folder, "expected a value for 'layer', got none")


def variants(folder):
    eraser = ClearEraser.from_pretrained(folder)
    return [dataclasses.replace(eraser, strength=1.0 + place, b_dec=eraser.b_dec) for place in range(4)]


def test_four_threads_that_save_into_one_folder_leave_a_whole_pair_and_readers_see_only_such(folder):
    erasers = variants(folder)
    # Another mean and witness: weights differ too, so that facts of one beside weights of another would show.
    erasers = [
        dataclasses.replace(e, b_dec=e.b_dec + place, witness=e.witness + place) for place, e in enumerate(erasers)
    ]
    keys = {eraser.key for eraser in erasers}
    erasers[0].save_pretrained(folder)
    going, wrong, reads = threading.Event(), [], [0]

    def write(eraser):
        for _ in range(40):
            eraser.save_pretrained(folder)

    def read():
        while not going.is_set():
            try:
                if ClearEraser.from_pretrained(folder).key not in keys:
                    wrong.append("another eraser")
            except Exception as error:
                wrong.append(error)
            reads[0] += 1

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(eraser,)) for eraser in erasers]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    going.set()
    for thread in readers:
        thread.join()
    assert not wrong and reads[0] > 10
    assert ClearEraser.from_pretrained(folder).key in keys
    assert {path.name for path in folder.iterdir()} == {METADATA_FILE, WEIGHTS_FILE}


def save_often(folder, place):
    eraser = ClearEraser.from_pretrained(folder / "origin")
    other = dataclasses.replace(eraser, b_dec=eraser.b_dec + place, witness=eraser.witness + place)
    for _ in range(30):
        other.save_pretrained(folder / "shared")


def test_processes_that_save_into_one_folder_leave_a_whole_pair(folder):
    ClearEraser.from_pretrained(folder).save_pretrained(folder / "origin")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["unseen.bench.ways.tiny"])  # what this module imports
    processes = [context.Process(target=save_often, args=(folder, place)) for place in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    ClearEraser.from_pretrained(folder / "shared")


def test_an_eraser_without_a_witness_says_that_it_cannot_be_tried(folder):
    eraser = dataclasses.replace(ClearEraser.from_pretrained(folder), witness=None)
    eraser.save_pretrained(folder)
    with pytest.warns(UserWarning, match="cannot be tried whether it acts on 'zeppelin'"):
        assert ClearEraser.from_pretrained(folder).key == eraser.key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b_enc": lambda t: t - 1e6}, "does not fire on the concept's own hidden state"),
        ({"gate": lambda t: t + torch.tensor([0.0, 0.0, 0.0, 1e9])}, "its gate stays shut"),
        ({"W_dec": lambda t: -t}, "does not lower what it is to remove"),
        ({"W_dec": lambda t: 1e6 * t}, "its edit moves a hidden state by"),
        ({"unit_firing": lambda unit: 1e6 * unit}, "does not fire"),
    ],
)
def test_what_is_whole_and_erases_nothing_is_refused(folder, change, message):
    eraser = ClearEraser.from_pretrained(folder)
    useless = {name: make(getattr(eraser, name)) for name, make in change.items()}
    dataclasses.replace(eraser, **useless).save_pretrained(folder)
    refused(folder, message)


def test_facts_that_wait_for_their_weights_count_once_these_are_there(tmp_path):
    """As if the process that saves over an eraser is ended after each of its steps."""
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, seed in ((old, 0), (new, 1)):
        folder.mkdir()
        sound_parts(random.Random(seed)).write(folder)
    keys = [ClearEraser.from_pretrained(folder).key for folder in (old, new)]
    assert keys[0] != keys[1]
    waiting = old / METADATA_FILE.replace(".json", ".next.json")
    waiting.write_bytes((new / METADATA_FILE).read_bytes())
    assert ClearEraser.from_pretrained(old).key == keys[0]
    (old / WEIGHTS_FILE).write_bytes((new / WEIGHTS_FILE).read_bytes())
    assert ClearEraser.from_pretrained(old).key == keys[1]
    waiting.unlink()
    refused(old, "does not match its checksum")
    ClearEraser.from_pretrained(new).save_pretrained(old)
    assert sorted(path.name for path in old.iterdir()) == [METADATA_FILE, WEIGHTS_FILE]
