"""The fit as functions gives the erasers of the fitter that it replaces, bit for bit."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
from conftest import SMALL_FIT, make_encoder, make_tokenizer
from tiny import make_cogvideox

import unseen
from unseen.clear.config import ClearConfig

sys.path.insert(0, str(Path(__file__).parent))
from oracle.config import ClearConfig as OldConfig
from oracle.fit import fit as old_fit

OLD = OldConfig(
    pairs=60, held_out=12, neutral=60, features=256, rounds=3, warm_up=1, sae_steps=40, max_length=32, even=1.0, prune=0.0
)
SIZES = {name: getattr(OLD, name) for name in ("pairs", "held_out", "features", "rounds", "sae_steps", "max_length")}
PAPER = ClearConfig.paper().with_options(
    {
        "prompts.pairs": 60, "prompts.held_out": 12, "prompts.max_length": 32,
        "sae.num_features": 256, "sae.steps": 120, "search.rounds": 3,
    }
)  # fmt: skip


@pytest.mark.parametrize("family", ["bert", "t5", "umt5", "clip"])
@pytest.mark.parametrize(
    ("old", "new"), [(OLD, SMALL_FIT), (dataclasses.replace(OldConfig.paper(), **SIZES), PAPER)], ids=["ours", "paper"]
)
def test_keys_agree_for_every_family(family, old, new):
    pair = make_tokenizer(), make_encoder(family)
    old_key = old_fit(pair, "zeppelin", config=old, seed=3, progress=False).key
    assert unseen.fit(pair, "zeppelin", config=new, seed=3, progress=False).key == old_key


def test_keys_agree_where_padding_is_attended():
    pipe = make_cogvideox()
    old_key = old_fit(pipe, "zeppelin", config=OLD, seed=3, progress=False).key
    assert unseen.fit(pipe, "zeppelin", config=SMALL_FIT, seed=3, progress=False).key == old_key


@pytest.mark.parametrize("criterion", ["l_con", "leakage", "residual", "damage", "probe", "reconstruction"])
def test_keys_agree_for_every_criterion(criterion):
    pair = make_tokenizer(), make_encoder("t5")
    old = dataclasses.replace(OLD, criterion=criterion, embedding=True)
    new = SMALL_FIT.with_options({"search.criterion": criterion, "search.embedding": True})
    old_key = old_fit(pair, "zeppelin", config=old, seed=3, progress=False).key
    assert unseen.fit(pair, "zeppelin", config=new, seed=3, progress=False).key == old_key
