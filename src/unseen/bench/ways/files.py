"""Embeddings and erasers that travel in files and to other processes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

import unseen
from unseen.bench.ways.scene import TARGET, UNRELATED, Scene
from unseen.bench.ways.way import way
from unseen.runtime.context.proofs import LEDGER
from unseen.runtime.embeddings import Embeddings


@contextmanager
def _stored(s: Scene) -> Iterator[Path]:
    """A file of erased embeddings, in a process that knows nothing of them any more."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.safetensors"
        with s.attach() as handle:
            handle.encode(TARGET, max_sequence_length=16).save(path)
        LEDGER._known.clear()
        yield path


@way("erased")
def embeddings_that_carry_their_proof(s: Scene) -> None:
    """handle.encode, save, load in another process, use."""
    with _stored(s) as path, s.attach():
        s.generate(**_load(path))


@way("refused")
def their_tensors_without_the_proof(s: Scene) -> None:
    """The tensors of such a file, read with safetensors: this process has not seen them."""
    with _stored(s) as path, s.attach():
        s.generate(prompt_embeds=load_file(path)["prompt_embeds"])


@way("refused")
def loaded_for_another_strength(s: Scene) -> None:
    """The file's eraser had another strength."""
    with _stored(s) as path, s.attach(strengths=[2.0]):
        s.generate(**_load(path))


@way("refused")
def other_tensors_under_the_proof(s: Scene) -> None:
    """The header of an honest file before other tensors."""
    from safetensors import safe_open

    with _stored(s) as path:
        with safe_open(path, "pt") as file:
            header = file.metadata()
        save_file({"prompt_embeds": s.plain().contiguous()}, path, header)
        with s.attach():
            s.generate(**_load(path))


@way("refused")
def changed_after_loading(s: Scene) -> None:
    """Loaded with their proof, then written into."""
    with _stored(s) as path, s.attach():
        made = _load(path)
        made["prompt_embeds"].copy_(s.plain())
        s.generate(**made)


@way("refused")
def exchanged_after_loading(s: Scene) -> None:
    """The dictionary's tensor is exchanged; the proof it carries is not of that one."""
    with _stored(s) as path, s.attach():
        made = _load(path)
        made["prompt_embeds"] = s.plain()
        s.generate(**made)


def _load(path: Path) -> dict[str, Any]:
    return Embeddings.load(path)


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


BROKEN: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-8]),
    "of text": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"),
    "with a byte changed": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x01"),
    "of tensors without a header": lambda path: save_file({"prompt_embeds": torch.ones(1, 16, 32)}, path),
    "with a header that is no JSON": lambda path: save_file(
        {"prompt_embeds": torch.ones(1, 16, 32)}, path, {"unseen-embeddings-1": "{"}
    ),
    "with brackets without end": lambda path: save_file(
        {"prompt_embeds": torch.ones(1, 16, 32)}, path, {"unseen-embeddings-1": "[" * 100_000}
    ),
    "with numbers for keys": lambda path: save_file(
        {"prompt_embeds": torch.ones(1, 16, 32)},
        path,
        {"unseen-embeddings-1": json.dumps({"keys": 3, "rewritten": 1, "sha256": "0"})},
    ),
    "that is missing": lambda path: path.unlink(),
    "that is a folder": _a_folder,
}
"""What may become of a file of embeddings."""


def _broken(change: Callable[[Path], Any]) -> Callable[[Scene], None]:
    def run(s: Scene) -> None:
        with _stored(s) as path:
            change(path)
            with s.attach():
                s.generate(**_load(path))

    run.__module__ = __name__
    return run


for _name, _change in BROKEN.items():
    way("refused", name=f"a file {_name}", tried=f"Embeddings.load of a file {_name}")(_broken(_change))

_ELSEWHERE = """
import sys, torch, unseen
from unseen.bench.ways.scene import wan, TARGET
from unseen.runtime.embeddings import Embeddings
from safetensors.torch import load_file
s = wan()
s.expected = [load_file(sys.argv[1])["prompt_embeds"]]  # with other threads the last bits may be others here
with unseen.attach(s.pipe, unseen.ClearEraser.from_pretrained(sys.argv[2])):
    s.generate(**Embeddings.load(sys.argv[1]))
s.look_through_the_log()
print(all(finding.fine for finding in s.findings) and bool(s.findings))
"""


@way("erased", slow=True)
def in_another_process(s: Scene) -> None:
    """Embeddings and eraser are saved here and used in a process of its own."""
    with _stored(s) as path:
        s.same(load_file(path)["prompt_embeds"], s.erased())
        s.eraser.save_pretrained(path.parent / "eraser")
        command = [sys.executable, "-c", _ELSEWHERE, str(path), str(path.parent / "eraser")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    s.check(done.stdout.strip().endswith("True"), f"{done.stdout[-100:]} {done.stderr[-300:]}")


@way("erased")
def a_saved_eraser(s: Scene) -> None:
    """An eraser that was saved and loaded does the same, bit for bit."""
    with tempfile.TemporaryDirectory() as folder:
        s.eraser.save_pretrained(folder)
        s.eraser = unseen.ClearEraser.from_pretrained(folder)
    with s.attach():
        s.generate(TARGET)


@way("refused")
def an_eraser_of_another_encoder(s: Scene) -> None:
    """An eraser that was fitted on another encoder."""
    import dataclasses

    s.eraser = dataclasses.replace(s.eraser, encoder_fingerprint="0" * 64)
    with s.attach():
        s.generate(TARGET)


@way("refused")
def an_eraser_of_a_layer_that_is_not_there(s: Scene) -> None:
    """Layer 99 of an encoder with three."""
    import dataclasses

    s.eraser = dataclasses.replace(s.eraser, layer=99)
    with s.attach():
        s.generate(TARGET)


# Encode first, generate later


@way("erased")
def encode_first_with_the_text_part_alone(s: Scene) -> None:
    """The text part of the pipeline encodes, a pipeline without text encoder draws; both are told apart by nothing."""
    import diffusers

    parts = s.pipe.components
    text = diffusers.WanPipeline(**{**parts, "transformer": None, "vae": None}, expand_timesteps=True)
    video = diffusers.WanPipeline(**{**parts, "text_encoder": None, "tokenizer": None}, expand_timesteps=True)
    video.set_progress_bar_config(disable=True)
    with s.attach(text):
        made = s.embed(TARGET, pipe=text, do_classifier_free_guidance=False)[0]
    s.generate(prompt_embeds=made, pipe=video)


@way("erased")
def encode_first_then_attach_the_whole(s: Scene) -> None:
    """Encoded by the text part while it is attached, used in the whole pipeline, attached later."""
    import diffusers

    text = diffusers.WanPipeline(**{**s.pipe.components, "transformer": None, "vae": None}, expand_timesteps=True)
    with s.attach(text):
        made = s.embed(TARGET, pipe=text, do_classifier_free_guidance=False)[0]
    with s.attach():
        s.generate(prompt_embeds=made)


@way("erased")
def handle_encode(s: Scene) -> None:
    """pipe(**handle.encode(prompt))."""
    with s.attach() as handle:
        given: dict[str, Any] = {**handle.encode(TARGET, max_sequence_length=16)}
        s.generate(**given)


@way("erased")
def handle_encode_with_a_negative_prompt(s: Scene) -> None:
    """The same with guidance and a negative prompt that names the concept."""
    with s.attach() as handle:
        made = handle.encode(TARGET, negative_prompt="a zeppelin in the garden", max_sequence_length=16)
        s.guide(prompt_embeds=made["prompt_embeds"], negative_prompt_embeds=made["negative_prompt_embeds"])


@way("unchanged")
def prompt_weighting_through_the_handle(s: Scene) -> None:
    """A tool that weights words runs the attached encoder by handle.encode(through=...)."""
    with s.attach() as handle:

        def weigh(prompt: Any) -> torch.Tensor:
            return 1.2 * s.pipe._get_t5_prompt_embeds(prompt, max_sequence_length=16)

        made = handle.encode(TARGET, through=weigh)
        s.expected = [1.2 * s.erased()]
        s.generate(prompt_embeds=made["prompt_embeds"])


@way("refused")
def through_another_encoder(s: Scene) -> None:
    """handle.encode(through=...) with a tool on another encoder."""
    with s.attach() as handle:
        handle.encode(TARGET, through=lambda prompt: s.plain())


@way("refused")
def weighted_by_hand(s: Scene) -> None:
    """Embeddings weighted after they were made."""
    with s.attach() as handle:
        made = handle.encode(UNRELATED, max_sequence_length=16)
        s.expected = [s.erased(UNRELATED)]
        s.generate(prompt_embeds=1.2 * made["prompt_embeds"])


@way("erased")
def an_encoder_in_a_process_of_its_own(s: Scene) -> None:
    """unseen.guard_encoder(tokenizer, encoder): every pass is edited."""
    ids = s.pipe.tokenizer(TARGET, return_tensors="pt", padding="max_length", max_length=16)
    with unseen.guard_encoder(s.pipe.tokenizer, s.pipe.text_encoder, s.eraser), torch.no_grad():
        states = s.pipe.text_encoder(ids.input_ids, attention_mask=ids.attention_mask)[0]
    s.same(states * ids.attention_mask[..., None], s.erased())


# Options that use an earlier layer


def _flux_like() -> Scene:
    from unseen.bench.ways.foreign_pipelines import Foreign

    return Foreign("StableDiffusion3Pipeline")


@way("refused", scene=_flux_like)
def clip_skip(s: Any) -> None:
    """Stable Diffusion 3 with erasers at the last layers that count, and clip_skip=2."""
    with s.attach_all():
        s.given.clear()
        s.draw(TARGET, clip_skip=2)


@way("erased", scene=_flux_like)
def clip_skip_of_nought(s: Any) -> None:
    """clip_skip=0 is what Stable Diffusion 3 does anyway."""
    with s.attach_all():
        s.given.clear()
        s.draw(TARGET, clip_skip=0)
        s.judge(s.erased_text, "the prompt")
