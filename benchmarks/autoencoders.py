"""Training a bank of autoencoders, beside the trainers of sae-lens, dictionary_learning and sparsify, in turns.

    python -m venv peers && peers/bin/pip install -e . torch==2.13.0 sae-lens==6.54 eai-sparsify==1.3.3
    peers/bin/pip install --no-deps dictionary_learning==0.1.0 "nnsight<0.4"
    peers/bin/pip install "python-socketio[client]" msgspec zstandard
    peers/bin/python benchmarks/autoencoders.py [--layers 1 4] [--rounds 3] [--device cpu]

All learn the same layer outputs of MiniLM, of the prompts that a fit writes for a concept of the development split,
scaled alike. Each is trained afresh for every number of steps, with its schedule fitted to it, and scored on held-out
tokens. What a trainer leaves to its user is tuned on the same held-out tokens from a grid of three: the peers' learning
rate, and the λ of our L1 bank (the lowest FVU with at most 16.5 active features a token). Time to an FVU is read off
between two numbers of steps, straight in logarithms. A peer that is not installed is left out, aloud.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unseen.clear.config import ClearConfig, SaeConfig
from unseen.clear.sae import SaeTrainer, ordinary_tokens
from unseen.concept import Concept
from unseen.diorama.model.text import load_text_encoder
from unseen.encoder.activations import PromptForm, candidate_layers, encode_by_length
from unseen.prompts.writer import write_prompts

FEATURES, ACTIVE, BATCH = 640, 16, 256
Coder = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
"""How a trained autoencoder of one layer encodes and decodes scaled tokens."""


def activations(concept: str, layers: list[int]) -> tuple[Tensor, Tensor]:
    """Scaled layer outputs of training and of held-out prompts, `[L, tokens, 384]` each."""
    config, (tokenizer, encoder) = ClearConfig(), load_text_encoder("wan")
    prompts = write_prompts(Concept(concept), seed=0, pairs=config.prompts.pairs, retain=config.prompts.retain)
    texts = [text for pair in prompts.pairs for text in pair] + list(prompts.neutral)
    form = PromptForm(config.prompts.max_length)
    wanted = [candidate_layers(encoder, embedding=False, form=form)[k] for k in layers]
    read = encode_by_length(tokenizer, encoder, texts, form, layers=wanted)
    usable, held_out = ordinary_tokens(read.hidden), read.prompt % 8 == 7
    train = read.hidden[:, usable & ~held_out]
    mean = train.mean(dim=1, keepdim=True)
    scale = (train - mean).square().mean(dim=(1, 2), keepdim=True).sqrt()
    return (train - mean) / scale, (read.hidden[:, usable & held_out] - mean) / scale


def batches(tokens: int, steps: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        yield torch.randint(tokens, (BATCH,), generator=generator)


def ours(x: Tensor, steps: int, setting: float, seed: int, *, top_k: int | None) -> list[Coder]:
    """`setting` is λ, or with TopK the learning rate."""
    l1, lr = (setting, None) if top_k is None else (0.0, setting)
    config = SaeConfig(num_features=FEATURES, l1_coefficient=l1, lr=lr, steps=steps, top_k=top_k)
    trainer = SaeTrainer(x[:, :4096], config, seed=seed)
    for chosen in batches(x.shape[1], steps, seed):
        trainer.step(x[:, chosen.to(x.device)])
    bank = trainer.finish()
    alone = bank.layers
    return [(lambda h, b=b: b.encode(h[None])[0], lambda f, b=b: b.decode(f[None])[0]) for b in alone]


def dictionary_learning(x: Tensor, steps: int, rate: float, seed: int, *, batch_top_k: bool) -> list[Coder]:
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer

    coders = []
    for layer in x:
        trainer = (BatchTopKTrainer if batch_top_k else TopKTrainer)(
            steps=steps, activation_dim=x.shape[-1], dict_size=FEATURES, k=ACTIVE, layer=0, lm_name="", lr=rate,
            warmup_steps=min(20, steps // 3), decay_start=int(0.6 * steps), seed=seed, device=str(x.device),
        )  # fmt: skip
        for step, chosen in enumerate(batches(x.shape[1], steps, seed)):
            trainer.update(step, layer[chosen.to(x.device)])
        coders.append((lambda h, c=trainer.ae: c.encode(h, use_threshold=False), trainer.ae.decode))
    return coders


def sae_lens(x: Tensor, steps: int, rate: float, seed: int) -> list[Coder]:
    from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    coders, shape = [], TopKTrainingSAEConfig(d_in=x.shape[-1], d_sae=FEATURES, k=ACTIVE, device=str(x.device))
    for layer in x:
        torch.manual_seed(seed)
        config = SAETrainerConfig(
            total_training_samples=steps * BATCH, train_batch_size_samples=BATCH, lr=rate, lr_end=rate / 10,
            lr_warm_up_steps=min(20, steps // 3), lr_decay_steps=int(0.4 * steps), device=str(x.device),
        )  # fmt: skip
        provider = (layer[chosen.to(x.device)] for chosen in batches(x.shape[1], steps, seed))
        sae = SAETrainer(config, TopKTrainingSAE(shape), provider).fit()
        coders.append((sae.encode, sae.decode))
    return coders


class Stored(nn.Module):
    """A language model, to sparsify: "tokens" are numbers of stored activations, and each layer looks them up."""

    class Layer(nn.Module):
        def __init__(self, x: Tensor):
            super().__init__()
            self.x = x

        def forward(self, ids: Tensor) -> Tensor:
            return self.x[ids]

    def __init__(self, x: Tensor):
        super().__init__()
        self.layers = nn.ModuleList([self.Layer(layer) for layer in x])
        self.config, self.device = SimpleNamespace(num_hidden_layers=len(x)), x.device
        self.dummy_inputs = {"input_ids": torch.zeros(1, 1, dtype=torch.long)}

    @property
    def base_model(self) -> Stored:
        return self

    def forward(self, input_ids: Tensor) -> None:
        for layer in self.layers:
            layer(input_ids)


def sparsify(x: Tensor, steps: int, rate: float, seed: int, *, optimizer: str) -> list[Coder]:
    from sparsify import SaeConfig, TrainConfig, Trainer

    precision = torch.get_float32_matmul_precision()
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            SaeConfig(num_latents=FEATURES, k=ACTIVE), batch_size=1, optimizer=optimizer, lr=rate, init_seeds=[seed],
            lr_warmup_steps=min(20, steps // 3), log_to_wandb=False, save_dir=folder, save_every=10**9,
        )  # fmt: skip
        dataset = [{"input_ids": chosen} for chosen in batches(x.shape[1], steps, seed)]
        trainer = Trainer(config, dataset, Stored(x))
        trainer.fit()
    torch.set_float32_matmul_precision(precision)

    def encode(h: Tensor, sae: Any) -> Tensor:
        top = sae.encode(h)
        return torch.zeros_like(top.pre_acts).scatter_(-1, top.top_indices, top.top_acts)

    return [(lambda h, s=s: encode(h, s), lambda f, s=s: f @ s.W_dec + s.b_dec) for s in trainer.saes.values()]


class Way(NamedTuple):
    train: Callable[..., list[Coder]]
    options: dict[str, Any]
    grid: tuple[float, ...]


WAYS = {
    "ours, L1": Way(ours, {"top_k": None}, (0.05, 0.07, 0.1)),
    "ours, TopK": Way(ours, {"top_k": ACTIVE}, (5e-3, 8e-3, 1.2e-2)),
    "sparsify, signum": Way(sparsify, {"optimizer": "signum"}, (8e-3, 1.6e-2, 3.2e-2)),
    "sparsify, Adam": Way(sparsify, {"optimizer": "adam"}, (4e-3, 8e-3, 1.6e-2)),
    "dictionary_learning, TopK": Way(dictionary_learning, {"batch_top_k": False}, (4e-3, 8e-3, 1.6e-2)),
    "dictionary_learning, BatchTopK": Way(dictionary_learning, {"batch_top_k": True}, (4e-3, 8e-3, 1.6e-2)),
    "sae-lens, TopK": Way(sae_lens, {}, (4e-3, 8e-3, 1.6e-2)),
}


@torch.no_grad()
def score(coders: list[Coder], train: Tensor, held: Tensor) -> dict[str, float]:
    """Means over the layers: FVU and active features per held-out token, share of features dead on training tokens."""
    rows = []
    for (encode, decode), seen, h in zip(coders, train, held, strict=True):
        f = encode(h)
        fvu = (h - decode(f)).square().sum() / h.square().sum()
        fires = torch.stack([(encode(part) > 0).any(dim=0) for part in seen.split(2048)]).any(dim=0)
        rows.append([float(fvu), float((f > 0).sum(dim=-1).float().mean()), 1 - float(fires.float().mean())])
    return dict(zip(("fvu", "l0", "dead"), map(statistics.mean, zip(*rows, strict=True)), strict=True))


def measure(way: Way, setting: float, steps: int, train: Tensor, held: Tensor, seed: int = 0) -> dict[str, float]:
    """Seconds to train, its own set-up included, and the scores."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        begun = time.perf_counter()
        coders = way.train(train, steps, setting, seed, **way.options)
        if train.is_cuda:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begun
    return {"steps": steps, "setting": setting, "seconds": seconds, **score(coders, train, held)}


def products_rate(device: torch.device) -> float:
    """Floating-point operations per second of a large float32 product."""
    a = torch.randn(2048, 2048, device=device)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        float((a @ a)[0, 0])
        times.append(time.perf_counter() - begun)
    return 2 * 2048**3 / min(times)


def time_to(curve: list[dict[str, float]], fvu: float) -> float:
    """Seconds to reach `fvu` with few enough active features, between two points of a curve."""
    sparse = [point for point in curve if point["l0"] <= ACTIVE + 0.5]
    if sparse and sparse[0]["fvu"] <= fvu:
        return sparse[0]["seconds"]
    for a, b in pairwise(sparse):
        if b["fvu"] <= fvu < a["fvu"]:
            share = math.log(a["fvu"] / fvu) / math.log(a["fvu"] / b["fvu"])
            return a["seconds"] * (b["seconds"] / a["seconds"]) ** share
    return math.nan


def page(result: dict[str, Any]) -> str:
    """The results in Markdown."""
    ours_time = min(row["to_target"] for name, row in result["ways"].items() if name.startswith("ours"))
    lines = [
        "# Autoencoders beside their peers", "",
        f"Written by `benchmarks/autoencoders.py` on {result['device']} (threads: {result['threads']}): layers"
        f" {result['layers']} of MiniLM, {FEATURES} features, {ACTIVE} active, batch {BATCH}; medians of"
        f" {result['rounds']} rounds in turns. The target is the lowest held-out FVU that all reach,"
        f" {result['target']:.3f}. Dense arithmetic alone would take {result['limit_ms']:.1f} ms per step.", "",
        "| trainer | ms per step | seconds to target | as a multiple of our fastest |"
        " best FVU | L0 there | dead there |", "| --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, row in result["ways"].items():
        last = row["curve"][-1]
        lines.append(
            f"| {name} | {1e3 * last['seconds'] / last['steps']:.1f} | {row['to_target']:.2f}"
            f" | {row['to_target'] / ours_time:.2f} | {last['fvu']:.3f} | {last['l0']:.1f} | {last['dead']:.1%} |"
        )
    lines += ["", "| trainer | " + " | ".join(f"{steps} steps" for steps in result["steps"]) + " |"]
    lines.append("| --- |" + " --- |" * len(result["steps"]))
    for name, row in result["ways"].items():
        cells = (f"{p['fvu']:.3f} at L0 {p['l0']:.0f} in {p['seconds']:.1f} s" for p in row["curve"])
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"Left out: {line}" for line in result["left_out"])]).rstrip() + "\n"


def main() -> None:
    """Tune, time in turns, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concept", default="teapot")
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 1, 2, 3, 4, 5])
    parser.add_argument("--steps", type=int, nargs="+", default=[40, 80, 160, 320])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks-autoencoders.md"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ.setdefault("TQDM_DISABLE", "1")
    device = torch.device(options.device)
    train, held = (part.to(device) for part in activations(options.concept, options.layers))
    best: dict[str, list[float]] = {}
    left_out = []
    for name, way in WAYS.items():
        try:
            measure(way, way.grid[0], 4, train, held)  # imports and first calls
        except ImportError as error:
            left_out.append(f"{name} ({error}).")
            continue
        trials = [[measure(way, setting, steps, train, held) for setting in way.grid] for steps in options.steps]
        best[name] = [min(row, key=lambda r: (r["l0"] > ACTIVE + 0.5, r["fvu"]))["setting"] for row in trials]
        print(f"{name:32} settings {best[name]}", flush=True)
    curves: dict[str, list[list[dict[str, float]]]] = {name: [[] for _ in options.steps] for name in best}
    for seed in range(options.rounds):
        for place, steps in enumerate(options.steps):
            for name, settings in best.items():
                curves[name][place].append(measure(WAYS[name], settings[place], steps, train, held, seed))
    median = {
        name: [{key: statistics.median(r[key] for r in rows) for key in rows[0]} for rows in places]
        for name, places in curves.items()
    }
    target = max(curve[-1]["fvu"] for curve in median.values())
    result = {
        "device": torch.cuda.get_device_name() if train.is_cuda else "a CPU", "threads": options.threads,
        "layers": options.layers, "rounds": options.rounds, "steps": options.steps, "target": target,
        "limit_ms": 1e4 * len(train) * BATCH * train.shape[-1] * FEATURES / products_rate(device), "left_out": left_out,
        "ways": {name: {"to_target": time_to(curve, target), "curve": curve} for name, curve in median.items()},
    }  # fmt: skip
    print(page(result))
    options.page.write_text(page(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
