"""The examples of the pages in docs/ run, on a tiny pipeline."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from conftest import make_eraser, make_pipe
from diffusers import WanPipeline

import unseen
from unseen import Concept

DOCS = Path(__file__).parents[2] / "docs"


class Quick(WanPipeline):
    """Draws five small frames in two steps, whatever its makers recommend."""

    def __call__(self, prompt=None, **options):
        """As `WanPipeline`."""
        small = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2, "output_type": "pt"}
        return super().__call__(prompt, **{**small, **options})


def test_the_examples_of_the_page_on_attaching_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pipe = Quick(**make_pipe().components, expand_timesteps=True)
    pipe.set_progress_bar_config(disable=True)
    planted = make_eraser(pipe.tokenizer, pipe.text_encoder)
    eraser = dataclasses.replace(planted, concept=Concept("French horn"))
    names = {"unseen": unseen, "pipe": pipe, "eraser": eraser}
    text = (DOCS / "attached.md").read_text(encoding="utf-8")
    examples = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert len(examples) >= 3
    for match in examples:
        line = text.count("\n", 0, match.start(1))
        exec(compile("\n" * line + match[1], "docs/attached.md", "exec"), names)
    assert "customer 17" in (tmp_path / "audit.jsonl").read_text(encoding="utf-8")
