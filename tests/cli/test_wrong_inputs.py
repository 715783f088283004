"""Whatever is typed wrong is answered with one sentence, and the page that lists such commands is up to date."""

from __future__ import annotations

from pathlib import Path

import pytest
from wrong_inputs import LONG, WRONG, answer, page, prepared

PAGE = Path(__file__).parents[2] / "docs" / "wrong-inputs.md"


@pytest.fixture(scope="module", autouse=True)
def workplace():
    with prepared() as folder:
        yield folder


def test_there_are_enough_of_them() -> None:
    assert len(WRONG) >= 40 and len({wrong.command for wrong in WRONG}) == len(WRONG)


@pytest.mark.parametrize("wrong", WRONG, ids=[wrong.command.replace(LONG, "xxx") or "nothing" for wrong in WRONG])
def test_a_wrong_input_gets_one_sentence(wrong) -> None:
    code, said = answer(wrong.command)
    assert code == 2 and said.count("\n") == 1 and said.startswith("unseen: "), said
    assert wrong.says in said and "Traceback" not in said


def test_the_page_shows_what_is_answered() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/cli/wrong_inputs.py docs/wrong-inputs.md"
