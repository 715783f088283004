"""What attached erasers cost: an encoding at the width of T5-XXL with none, one and a hundred, and a denoiser's check.

    python benchmarks/attached.py [--layers 6] [--rounds 7]

This times the encoder's own passes; what `encode_prompt` of an attached pipeline adds for its account of embeddings is
printed beside it. Random weights; prompts that no eraser concerns, and one that a planted eraser acts on. All are timed
in turns in one run, beside the share of the arithmetic that the erasers add, which no implementation gets under.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from transformers import T5Config, T5EncoderModel

import unseen
from unseen.clear.eraser import ClearEraser
from unseen.concept import Concept
from unseen.encoder.fingerprint import fingerprint
from unseen.runtime.chokepoints.denoiser import install_check
from unseen.runtime.chokepoints.rows import digests_as_cast
from unseen.runtime.context.proofs import LEDGER, Proof

WIDTH, TOKENS, FEATURES = 4096, 226, 16


class Tokenizer:
    """As much of a tokenizer as a guard needs: nothing is tokenized here."""

    unk_token_id = 2

    def batch_decode(self, ids: torch.Tensor, skip_special_tokens: bool) -> list[str]:
        return ["a chair in the snow " * 20 for _ in ids]


def eraser(mark: str, number: int, layer: int, *, fires: bool = False) -> ClearEraser:
    """Random features; a silent one's gate never opens."""
    generator = torch.Generator().manual_seed(number)
    return ClearEraser(
        concept=Concept(f"concept {number}"),
        layer=layer,
        strength=1.0,
        encoder_fingerprint=mark,
        W_enc=torch.randn(WIDTH, FEATURES, generator=generator) / WIDTH**0.5,
        b_enc=torch.full((FEATURES,), -2.0),
        W_dec=torch.randn(FEATURES, WIDTH, generator=generator) / WIDTH**0.5,
        mask=torch.ones(FEATURES),
        b_dec=torch.zeros(WIDTH),
        scale=torch.tensor(1.0),
        gate=torch.cat([torch.ones(FEATURES), torch.tensor([-1.0 if fires else 1e9])]),
        target=torch.zeros(WIDTH),
        mean_edit=torch.zeros(WIDTH),
    )


def main() -> None:
    """Time everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=128, d_model=WIDTH, d_kv=64, d_ff=10240, num_layers=options.layers, num_heads=64,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    encoder = T5EncoderModel(config).eval().requires_grad_(False)
    ids, mark = torch.randint(3, 128, (1, TOKENS)), fingerprint(encoder)
    spread = [eraser(mark, n, n % options.layers) for n in range(100)]
    ways = {
        "plain": [],
        "1 eraser, silent": spread[:1],
        "1 eraser, acting": [eraser(mark, 0, 0, fires=True)],
        "100, spread over the layers": spread,
        "100 at one layer": [eraser(mark, n, 0) for n in range(100)],
        "100 at one layer, 1 acts": [eraser(mark, n, 0, fires=n == 0) for n in range(100)],
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    with torch.no_grad():
        for turn in range(options.rounds + 1):
            for name, erasers in ways.items():
                handle = unseen.guard_encoder(Tokenizer(), encoder, erasers) if erasers else None
                encoder(ids[:, :8])  # what the first pass pays
                begun = time.perf_counter()
                encoder(ids)
                if turn:
                    times[name].append(time.perf_counter() - begun)
                if handle is not None:
                    handle.detach()
    weights = sum(p.numel() for n, p in encoder.named_parameters() if p.ndim == 2 and "shared" not in n)
    print(f"T5 of width {WIDTH}, {options.layers} layers, {TOKENS} tokens, {FEATURES} features an eraser, median of"
          f" {options.rounds}")  # fmt: skip
    plain = statistics.median(times["plain"])
    for name, own in times.items():
        ratio = statistics.median([a / b for a, b in zip(own, times["plain"], strict=True)])
        limit = 1 + len(ways[name]) * FEATURES * WIDTH / weights
        print(f"{name:30} {statistics.median(own) * 1e3:8.1f} ms  {ratio:6.3f} x plain  (arithmetic: {limit:.4f})")
    print(f"account of one encoding: {account_time() * 1e3:.1f} ms")
    print(f"a step's check: {check_time() * 1e6:.0f} us a call; {check_time(first=True) * 1e3:.2f} ms the first time")
    print(f"(0.5 % of a plain encoding here: {plain * 5:.2f} ms)")


def account_time() -> float:
    """Seconds for the digests of one encoding: what the encoder made, and what the pipeline is given, twice."""
    text, proof = torch.randn(1, TOKENS, WIDTH), Proof(frozenset({"key"}), False)
    begun = time.perf_counter()
    for _ in range(5):
        digests_as_cast(text)
        LEDGER.record(text, proof)
        LEDGER.record(text, proof)
    return (time.perf_counter() - begun) / 5


def check_time(first: bool = False) -> float:
    """Seconds that a denoiser's check adds to a call."""

    class Denoiser(torch.nn.Module):
        def forward(self, hidden_states: torch.Tensor, timestep: int, encoder_hidden_states: torch.Tensor) -> None:
            return None

    module, proof = Denoiser(), Proof(frozenset({"key"}), False)
    text = torch.randn(2, TOKENS, WIDTH)
    LEDGER.record(text, proof)

    def timed(call: Callable[[], object], count: int) -> float:
        begun = time.perf_counter()
        for _ in range(count):
            call()
        return (time.perf_counter() - begun) / count

    def step(given: torch.Tensor) -> None:
        module(text, 0, encoder_hidden_states=given)

    bare = timed(lambda: step(text), 1000)
    undo = install_check(module, lambda: proof, lambda error: None)
    try:
        return timed(lambda: step(text.clone()), 10) if first else timed(lambda: step(text), 1000) - bare
    finally:
        undo()


if __name__ == "__main__":
    main()
