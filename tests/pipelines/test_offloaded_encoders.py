"""Text encoders whose weights lie elsewhere than they compute are fitted on, explained and edited like others."""

from __future__ import annotations

import pytest
import torch
from accelerate import cpu_offload, disk_offload, dispatch_model
from conftest import SMALLEST_FIT, make_pipe
from diffusers.hooks import apply_group_offloading
from torch import nn

import unseen
from unseen.encoder.fingerprint import architecture, fingerprint

TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"
CPU = torch.device("cpu")
CONFIG = SMALLEST_FIT.with_options({"edit.max_ratio": 0.5})  # of random weights not much can be learned


def offload(encoder: nn.Module, kind: str, folder: str) -> None:
    """What `device_map="auto"` and diffusers do with an encoder that is too large: main memory, disk, parts."""
    if kind == "cpu":
        cpu_offload(encoder, execution_device=CPU)
    elif kind == "disk":
        disk_offload(encoder, folder, execution_device=CPU)
    elif kind == "mixed":
        places = {name: "disk" if name == "encoder" else "cpu" for name, _ in encoder.named_children()}
        dispatch_model(encoder, places, main_device="cpu", offload_dir=folder, force_hooks=True)
    else:
        try:
            apply_group_offloading(encoder, CPU, offload_type=f"{kind}_level", num_blocks_per_group=1)
        except AttributeError:
            pytest.skip("this diffusers cannot offload in groups on a machine without an accelerator")


@pytest.fixture(scope="module")
def keys():
    """The key of an eraser that is fitted at home, by the encoder's family."""
    return {
        family: unseen.fit(make_pipe(family), "zeppelin", config=CONFIG, progress=False).key
        for family in ("t5", "umt5")
    }


@pytest.mark.parametrize("kind", ["cpu", "disk", "mixed", "block", "leaf"])
@pytest.mark.parametrize("family", ["t5", "umt5"])
def test_an_offloaded_encoder_is_fitted_and_edited_as_it_would_be_at_home(family, kind, tmp_path, eraser_of, keys):
    """Case 5, as far as one device goes."""
    plain = make_pipe(family)
    marks = fingerprint(plain.text_encoder), architecture(plain.text_encoder)
    eraser = eraser_of(plain.tokenizer, plain.text_encoder)
    with unseen.attach(plain, eraser) as handle:
        fired = handle.explain(TARGET)
        expected = [plain.encode_prompt(text, max_sequence_length=16, device=CPU)[0] for text in (TARGET, UNRELATED)]
    assert fired
    pipe = make_pipe(family)
    offload(pipe.text_encoder, kind, str(tmp_path))
    assert (fingerprint(pipe.text_encoder), architecture(pipe.text_encoder)) == marks
    assert unseen.fit(pipe, "zeppelin", config=CONFIG, progress=False).key == keys[family]
    with unseen.attach(pipe, eraser) as handle:
        assert handle.explain(TARGET) == fired
        made = [pipe.encode_prompt(text, max_sequence_length=16, device=CPU)[0] for text in (TARGET, UNRELATED)]
    assert all(torch.equal(a, b) for a, b in zip(made, expected, strict=True))
