"""Commands that cannot be carried out, and what each is answered: one sentence, exit code 2, no traceback.

python tests/cli/wrong_inputs.py docs/wrong-inputs.md
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

LONG = "x" * 300
TINY, OTHER = "--model tiny", "--eraser eraser"


class Wrong(NamedTuple):
    """One of them."""

    command: str
    """Without `unseen`."""
    says: str
    """Words that its answer has to hold: what is wrong, or what to do."""


WRONG = [
    Wrong("", "expected COMMAND"),
    Wrong("fitt church", "did you mean fit?"),
    Wrong("fit", "expected NAME"),
    Wrong("fit ''", "non-empty"),
    Wrong("fit ' church '", "without surrounding spaces"),
    Wrong("fit church --kind thing", "object, style, identity, attribute"),
    Wrong("fit church --synonym Church", "must all differ"),
    Wrong("fit church tench --synonym kirk", "--synonym is for one concept"),
    Wrong("fit AC/DC 'AC DC'", "would both go to erasers/ac-dc"),
    Wrong("fit church --pairs nowhere.csv", "nowhere.csv"),
    Wrong("fit church --pairs pairs.csv", "pairs.csv, line 3"),
    Wrong("fit church --pairs folder", "folder"),
    Wrong("fit church --retain folder", "folder"),
    Wrong("fit church --out file.txt", "file.txt is no folder"),
    Wrong("fit church --out file.txt/deep", "file.txt is no folder"),
    Wrong(f"fit church --out {LONG}", "too long"),
    Wrong("fit church --out eraser", "--overwrite"),
    Wrong("fit church --device cuda", "--model ID"),
    Wrong(f"fit church {TINY} --device cuda:99", "this machine has no cuda:99"),
    Wrong(f"fit church {TINY} --device gpu", "expected cpu, cuda"),
    Wrong("fit church --fit-device gpu", "--fit-device: expected cpu, cuda"),
    Wrong("fit church --model folder", "model_index.json"),
    Wrong("fit church --model 'no such thing'", "neither"),
    Wrong(f"fit church {TINY} --encoder text_encoder_9", "text_encoder"),
    Wrong("fit church --sae.step 10", "did you mean --sae.steps?"),
    Wrong("fit church --sae.steps 0", "sae.steps"),
    Wrong("fit church --sae.steps many", "expected a whole number"),
    Wrong("fit church --sae.num-features -5", "sae.num_features ≥ 1"),
    Wrong("fit church --search.tau-start 0", "search.tau_start"),
    Wrong("fit church --edit.strength -1", "edit.strength"),
    Wrong("fit church --edit.gate maybe", "expected yes or no"),
    Wrong("fit church --edit.mask solid", "expected one of"),
    Wrong("fit church --memory-budget nan", "expected a number"),
    Wrong("fit church --seed -1", "from 0 to"),
    Wrong(f"fit zeppelin {TINY} --memory-budget 0.001", "Raise memory_budget"),
    Wrong(f"fit {LONG}", "the text encoder"),
    Wrong("fit nudism --pack", "there is no pack 'nudism'"),
    Wrong("fit church --languages en", "--pack"),
    Wrong("fit nudity --pack --kind style", "without --pack"),
    Wrong("prompts hat --use worn", "must be one of"),
    Wrong("prompts hat --count 0", "1 or more"),
    Wrong("generate", "expected PROMPT"),
    Wrong("generate ''", "expected a prompt"),
    Wrong("generate 'a church' --colour", "is not understood"),
    Wrong("generate 'a church' --compare", "--eraser FOLDER"),
    Wrong("generate 'a church' --strength 2", "--eraser FOLDER"),
    Wrong(f"generate 'a church' {OTHER} --strength nan", "expected a number of 0 or more"),
    Wrong("generate 'a church' --audit audit.jsonl", "--eraser FOLDER"),
    Wrong(f"generate 'a church' {OTHER} --audit folder", "expected a file"),
    Wrong("generate 'a church' --offload model", "--model ID"),
    Wrong("generate 'a church' --eraser nowhere", "unseen fit NAME --out nowhere"),
    Wrong("generate 'a church' --eraser damaged", "damaged"),
    Wrong("generate 'a church' --eraser pointer", "git lfs pull"),
    Wrong(f"generate 'a church' {OTHER}", "Fit the concept on this pipeline"),
    Wrong("generate 'a church' --call '{'", "is not JSON"),
    Wrong("generate 'a church' --call '[1]'", "must be a JSON object"),
    Wrong("""generate 'a church' --call '{"guidance_scale": NaN}'""", "NaN is no JSON number"),
    Wrong("""generate 'a church' --call '{"prompt": "a house"}'""", "Leave it out"),
    Wrong(f"""generate wolf {TINY} --call '{{"num_frame": 5}}'""", "did you mean num_frames?"),
    Wrong(f"""generate wolf {TINY} --call '{{"num_frames": "many"}}'""", "did not run with --call"),
    Wrong("generate 'a church' --seed 99999999999999999999", "--seed"),
    Wrong("generate 'a church' --out file.txt", "file.txt is no folder"),
    Wrong("demo 'Frenh horn'", "did you mean"),
    Wrong("demo church --concept tench", "Name one concept"),
    Wrong("evaluate everything", "expected a suite"),
    Wrong("evaluate object", "did you mean objects?"),
    Wrong("evaluate objects --suite quick", "'--suite' is not understood"),
    Wrong("evaluate objects --seed 1 --seeds 2 3", "got both"),
    Wrong("evaluate objects --methods magic", "magic"),
    Wrong("evaluate paper --split development", "--split is not for it"),
    Wrong("evaluate objects --workers 4", "--engine processes"),
    Wrong("evaluate objects --concepts dragon", "Diorama does not know"),
    Wrong("evaluate objects --out file.txt", "file.txt is no folder"),
    Wrong("evaluate picture --results folder", "expected a file"),
    Wrong("attack guard --clips 3", "unseen attack words"),
    Wrong("score nowhere --metric flicker", "nowhere"),
    Wrong("score folder", "at least one detector or metric"),
    Wrong("score folder --metric beauty", "beauty"),
    Wrong("score folder --metric flicker --format i2p", "--format would do nothing here"),
    Wrong("score folder --metric flicker --prompts p.csv --format i2q", "i2q"),
    Wrong("score folder --detector nobody", "nobody"),
    Wrong("score folder --metric flicker --chunk 0", "1 or more"),
    Wrong("report nowhere", "unseen demo"),
    Wrong("inspect nowhere", "nowhere"),
    Wrong("inspect file.txt", "file.txt"),
    Wrong("list model", "did you mean models?"),
    Wrong("plan", "--model ID"),
    Wrong(f"plan {TINY} --tflops 0", "above 0"),
    Wrong("app --port 99999", "1 to 65535"),
    Wrong("completion bsh", "did you mean bash?"),
    Wrong("train vea", "did you mean vae?"),
    Wrong("doctor --quick", "is not understood"),
]


def prepare(folder: Path) -> None:
    """Write the files and folders that the commands name."""
    from tiny import make_wan

    from unseen.bench.ways.tiny import make_encoder, make_eraser, make_tokenizer

    (folder / "file.txt").write_text("a file\n")
    (folder / "folder").mkdir()
    (folder / "pairs.csv").write_text("positive,negative\na church,a house\na church,\n")
    make_eraser(make_tokenizer(), make_encoder("umt5")).save_pretrained(folder / "eraser")
    for name, text in (("damaged", "{"), ("pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")):
        (folder / name).mkdir()
        for ending in ("json", "safetensors"):
            (folder / name / f"unseen_eraser.{ending}").write_text(text)
    make_wan("umt5").save_pretrained(folder / "tiny")


@functools.cache
def answer(command: str) -> tuple[int, str]:
    """Exit code and standard error of a command that is run here, in this process."""
    from unseen.cli import main

    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main(shlex.split(command))
        except SystemExit as stopped:
            code = int(stopped.code or 0)
    return code, said.getvalue()


@contextlib.contextmanager
def prepared() -> Iterator[Path]:
    """A folder with what the commands name, as the working directory."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        prepare(folder)
        os.chdir(folder)
        try:
            yield folder
        finally:
            os.chdir(before)


def page() -> str:
    """All of them, as a table."""
    lines = [
        "# Wrong inputs",
        "",
        f"{len(WRONG)} commands that cannot be carried out. Each ends with exit code 2 and one sentence on standard"
        " error. Written by `python tests/cli/wrong_inputs.py`, not by hand;"
        " `tests/cli/test_wrong_inputs.py` runs all of them.",
        "",
        "| command | answer |",
        "| --- | --- |",
    ]
    with prepared():
        for wrong in WRONG:
            said = answer(wrong.command)[1].strip().removeprefix("unseen: ").replace(LONG, "xxx…")
            command = f"unseen {wrong.command}".strip().replace(LONG, "xxx…")
            lines.append("| `" + command.replace("|", "\\|") + "` | " + said.replace("|", "\\|") + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
