"""What the machine makes necessary: compiling, caching, offloading, other places and types of weights."""

from __future__ import annotations

from typing import Any

import diffusers
import torch

from unseen.bench.ways.scene import NEGATIVE, TARGET, Scene, deep_wan, planted
from unseen.bench.ways.way import way
from unseen.pipelines.loading import start_offload


def _guided(s: Scene) -> None:
    s.guide(TARGET, negative_prompt=NEGATIVE)


def _then_foreign(s: Scene) -> None:
    """Foreign text is refused, in whatever form the denoiser runs."""
    try:
        s.denoise(s.plain(), module=s.pipe.transformer)
    except Exception as error:
        s.check("erasers" in str(error), f"refused as foreign: {error}")
    else:
        s.check(False, "foreign text passed")


def _compiled(where: str, how: str, whole: bool, when: str) -> None:
    def run(s: Scene) -> None:
        def compile_it() -> None:
            module = getattr(s.pipe, where)
            if how == "in place":
                module.compile(backend="eager", fullgraph=whole)
            else:
                setattr(s.pipe, where, torch.compile(module, backend="eager", fullgraph=whole))

        if when == "run before":
            compile_it()
            s.guide(TARGET)
            s.forget()
        elif when == "before":
            compile_it()
        with s.attach():
            if when == "after":
                compile_it()
            _guided(s)
            _guided(s)
            if where == "transformer":
                _then_foreign(s)
        torch._dynamo.reset()

    run.__module__ = __name__
    tried = f"the {where.replace('_', ' ')} compiled {how} {when} attach" + (", as one graph" if whole else "")
    way("erased", name=tried, tried=tried, slow=not whole)(run)


for _when in ("before", "run before", "after"):
    for _how in ("in place", "by torch.compile"):
        _compiled("transformer", _how, False, _when)
        _compiled("transformer", _how, True, _when)
        if _when != "after":
            _compiled("text_encoder", _how, False, _when)


def _cache(config: Any, when: str) -> None:
    def run(s: Scene) -> None:
        if when == "before":
            s.pipe.transformer.enable_cache(config())
        with s.attach():
            if when == "after":
                s.pipe.transformer.enable_cache(config())
            _guided(s)
            _then_foreign(s)
            s.pipe.transformer.disable_cache()
            _guided(s)

    run.__module__ = __name__
    tried = f"the cache of first blocks enabled {when} attach"
    way("erased", scene=deep_wan, name=tried, tried=tried)(run)


def _first_block() -> Any:
    return diffusers.FirstBlockCacheConfig(threshold=0.01)


for _when in ("before", "after"):
    _cache(_first_block, _when)


def _offloaded(kind: Any, when: str) -> None:
    def run(s: Scene) -> None:
        if when == "before":
            start_offload(s.pipe, kind, "cpu")
        with s.attach():
            if when == "after":
                start_offload(s.pipe, kind, "cpu")
            _guided(s)
            _guided(s)

    run.__module__ = __name__
    tried = f"{kind} offloading started {when} attach"
    way("erased", name=tried, tried=tried)(run)


for _kind in ("model", "group"):
    for _when in ("before", "after"):
        _offloaded(_kind, _when)


@way("erased")
def layerwise_casting(s: Scene) -> None:
    """The transformer keeps its weights in bfloat16 and computes in float32."""
    with s.attach():
        s.pipe.transformer.enable_layerwise_casting(storage_dtype=torch.bfloat16, compute_dtype=torch.float32)
        _guided(s)


@way("erased")
def moved(s: Scene) -> None:
    """pipe.to(...) while attached."""
    with s.attach():
        s.pipe.to("cpu")
        _guided(s)


@way("erased")
def autocast(s: Scene) -> None:
    """A whole call within torch.autocast."""
    with torch.autocast("cpu", torch.bfloat16):
        s.expected = [s.both(TARGET).erased]
        with s.attach():
            s.generate(TARGET)


@way("erased")
def inference_mode(s: Scene) -> None:
    """A whole call within torch.inference_mode, then one outside."""
    with s.attach():
        with torch.inference_mode():
            _guided(s)
        _guided(s)


@way("erased")
def in_training_mode(s: Scene) -> None:
    """pipe.transformer.train() changes nothing about what it is given."""
    with s.attach():
        s.pipe.transformer.train()
        _guided(s)


@way("erased")
def other_solvers(s: Scene) -> None:
    """The user's scheduler is exchanged while attached."""
    with s.attach():
        s.pipe.scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=8, shift_terminal=0.1)
        _guided(s)
        s.pipe.scheduler = diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
        _guided(s)


@way("erased")
def a_solver_that_asks_twice(s: Scene) -> None:
    """Slicing, tiling and progress bars of the VAE."""
    with s.attach():
        s.pipe.vae.enable_tiling()
        s.pipe.vae.enable_slicing()
        _guided(s)


# Parts that are replaced


@way("refused")
def a_twin_text_encoder(s: Scene) -> None:
    """pipe.text_encoder = a twin with the same weights."""
    from unseen.bench.ways.tiny import make_encoder

    with s.attach():
        s.pipe.text_encoder = make_encoder("umt5")
        s.generate(TARGET)


@way("erased")
def the_text_encoder_put_back(s: Scene) -> None:
    """Replaced, and put back."""
    with s.attach():
        own, s.pipe.text_encoder = s.pipe.text_encoder, None
        s.pipe.text_encoder = own
        s.generate(TARGET)


@way("refused")
def weights_loaded_into_the_text_encoder(s: Scene) -> None:
    """load_state_dict while attached: the eraser does not fit these weights."""
    from unseen.bench.ways.tiny import make_encoder

    other = make_encoder("umt5", seed=3)
    with s.attach():
        s.pipe.text_encoder.load_state_dict(other.state_dict())
        s.expected = [s.erased()]
        s.generate(TARGET)


def _linear(s: Scene) -> tuple[torch.nn.Module, str, torch.nn.Linear]:
    """A linear layer of the text encoder, as (parent, name, layer)."""
    return next(
        (parent, name, child)
        for parent in s.pipe.text_encoder.modules()
        for name, child in parent.named_children()
        if isinstance(child, torch.nn.Linear)
    )


@way("refused")
def an_adapter_put_into_the_text_encoder(s: Scene) -> None:
    """A linear layer is wrapped while attached, as a LoRA is loaded: no weight of the encoder's own changes."""
    with s.attach():
        parent, name, layer = _linear(s)
        setattr(parent, name, torch.nn.Sequential(layer, torch.nn.Linear(layer.out_features, layer.out_features)))
        try:
            s.expected = [s.erased()]
            s.generate(TARGET)
        finally:
            setattr(parent, name, layer)


@way("erased")
def an_adapter_taken_out_again(s: Scene) -> None:
    """A linear layer is wrapped and put back while attached."""
    with s.attach():
        parent, name, layer = _linear(s)
        setattr(parent, name, torch.nn.Sequential(layer))
        setattr(parent, name, layer)
        s.generate(TARGET)


@way("erased")
def a_new_denoiser(s: Scene) -> None:
    """pipe.transformer = another one, while attached; it is guarded as well."""
    with s.attach():
        s.pipe.transformer = type(s.pipe.transformer).from_config(s.pipe.transformer.config).eval()
        s.spy(s.pipe.transformer)
        _guided(s)
        _then_foreign(s)


@way("erased")
def registered_anew(s: Scene) -> None:
    """pipe.register_modules(...) while attached."""
    with s.attach():
        s.pipe.register_modules(transformer=s.pipe.transformer, text_encoder=s.pipe.text_encoder)
        _guided(s)


@way("erased")
def another_tokenizer(s: Scene) -> None:
    """pipe.tokenizer is exchanged for one that also knows "blimp" as the concept's token."""
    from unseen.bench.ways.tiny import make_tokenizer

    with s.attach():
        s.pipe.tokenizer = make_tokenizer(model_max_length=64)
        _guided(s)


@way("refused")
def forward_of_the_text_encoder(s: Scene) -> None:
    """text_encoder.forward(...), its states used as prompt_embeds."""
    inputs = s.pipe.tokenizer(TARGET, return_tensors="pt", padding="max_length", max_length=16)
    with s.attach():
        with torch.no_grad():
            states = s.pipe.text_encoder.forward(**{k: inputs[k] for k in ("input_ids", "attention_mask")})[0]
        s.generate(prompt_embeds=states * inputs.attention_mask[..., None])


@way("refused")
def blocks_of_the_text_encoder(s: Scene) -> None:
    """The encoder's blocks called one by one."""
    ids = s.pipe.tokenizer(TARGET, return_tensors="pt").input_ids
    with s.attach():
        with torch.no_grad():
            hidden = s.pipe.text_encoder.get_input_embeddings()(ids)
            for block in s.pipe.text_encoder.encoder.block:
                output = block(hidden)
                hidden = output[0] if isinstance(output, tuple) else output
        s.generate(prompt_embeds=hidden)


@way("refused")
def the_text_encoder_alone(s: Scene) -> None:
    """text_encoder(...), its states used as prompt_embeds: nobody has looked for the concept in other words."""
    ids = s.pipe.tokenizer(TARGET, return_tensors="pt").input_ids
    with s.attach():
        with torch.no_grad():
            states = s.pipe.text_encoder(ids)[0]
        s.generate(prompt_embeds=states)


@way("erased")
def an_eraser_at_the_last_block(s: Scene) -> None:
    """The last block's output, before the final normalization."""
    s.eraser = planted(s.pipe, "umt5", layer=2)
    s.expected = [s.both(TARGET).erased]
    with s.attach():
        _guided(s)
