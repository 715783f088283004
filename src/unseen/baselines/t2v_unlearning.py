"""T2VUnlearning (2025): small adapters in the transformer, trained from prompts alone to predict away from the concept.

After the attention in which video reads text, video tokens pass `h ← h + U GELU(D h)`, `U` starting at zero; the model
itself is frozen. One iteration: the adapted model draws from noise for a random number of steps; at that `x_t` the
frozen model gives `v_neg = v(x_t, ∅) − η (v(x_t, c) − v(x_t, ∅))`; the loss is
`‖v_neg − v_θ(x_t, c)‖² + α L_loc + β ‖v_θ(x_t, c_keep) − v(x_t, c_keep)‖²`, where `L_loc` is the adapters' output
outside the places where video attends to the concept's words.

Where we differ from the public code: every block has its own mask (there the first one's is overwritten), all of the
concept's tokens count (there the first one is missing), and settings given are the settings used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from ..concept import Concept
from ..pipelines import Backbone, denoisers
from ..prompts.writer import write_prompts
from .base import Baseline, FittedBaseline
from .denoising import known_backbone, text_attentions
from .encoding import Reader

Adapters = Mapping[str, Tensor]


def start(pipe: Any, backbone: Backbone, rank: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Fresh adapters: `<transformer>.<block>.down` `[rank, d]` and `.up` `[d, rank]`, the latter zero."""
    made = {}
    for name, transformer in denoisers(pipe, backbone).items():
        for block, attention in enumerate(text_attentions(transformer, backbone)):
            width = attention.get_submodule("to_q").in_features
            assert isinstance(width, int)
            made[f"{name}.{block}.down"] = torch.randn(rank, width, generator=generator) / width**0.5
            made[f"{name}.{block}.up"] = torch.zeros(width, rank)
    return made


@contextmanager
def adapted(
    pipe: Any, backbone: Backbone, adapters: Adapters, outputs: dict[str, Tensor] | None = None
) -> Iterator[None]:
    """The adapters in place; what each of them adds is left in `outputs`, by `<transformer>.<block>`."""

    def hook_of(place: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            hidden = output[0] if isinstance(output, tuple) else output
            down, up = (adapters[f"{place}.{side}"].to(hidden) for side in ("down", "up"))
            added = F.gelu(hidden @ down.T) @ up.T
            if outputs is not None:
                outputs[place] = added
            return (hidden + added, *output[1:]) if isinstance(output, tuple) else hidden + added

        return hook

    with ExitStack() as stack:
        for name, transformer in denoisers(pipe, backbone).items():
            for block, attention in enumerate(text_attentions(transformer, backbone)):
                stack.callback(attention.register_forward_hook(hook_of(f"{name}.{block}")).remove)
        yield


def put_on(pipe: Any, fitted: FittedBaseline, stack: ExitStack) -> None:
    """Draw with the adapters; `strength` multiplies what they add."""
    scaled = {
        name: tensor * fitted.settings["strength"] if name.endswith(".up") else tensor
        for name, tensor in fitted.tensors.items()
    }
    stack.enter_context(adapted(pipe, known_backbone(pipe, "T2VUnlearning"), scaled))


class _Moment:
    """The arguments of a transformer at a random step of drawing a prompt."""

    def __init__(
        self, pipe: Any, backbone: Backbone, prompt: str, call: Mapping[str, Any], stop: int, seed: int
    ) -> None:
        self.name = ""
        self.arguments: dict[str, Any] = {}
        handles = []
        for name, transformer in denoisers(pipe, backbone).items():
            handles.append(transformer.register_forward_pre_hook(self._listener(name), with_kwargs=True))
        step = [0]

        def count(pipe: Any, index: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            step[0] += 1
            if step[0] > stop:
                pipe._interrupt = True
            return values

        try:
            with torch.no_grad():
                generator = torch.Generator("cpu").manual_seed(seed)
                pipe(prompt, generator=generator, callback_on_step_end=count, **{**call, "output_type": "latent"})
        finally:
            for handle in handles:
                handle.remove()
        if backbone.guidance == "one batch":  # the lower half is the prompt's
            half = len(self.arguments["hidden_states"]) // 2
            for name in ("hidden_states", "timestep"):
                self.arguments[name] = self.arguments[name][half:]

    def _listener(self, name: str) -> Any:
        def listen(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
            self.name, self.arguments = name, dict(kwargs)

        return listen

    def predict(self, pipe: Any, text: Tensor) -> Tensor:
        """What the transformer predicts here for a prompt's embeddings `[1, tokens, d]`."""
        arguments = {**self.arguments, "encoder_hidden_states": text, "return_dict": False}
        return getattr(pipe, self.name)(**arguments)[0].float()


class _Attention:
    """Where video tokens attend to some text positions, per block: bool `[batch, video tokens, 1]`."""

    def __init__(self, pipe: Any, backbone: Backbone, positions: Sequence[int], threshold: float) -> None:
        self.positions, self.threshold, self.joint = list(positions), threshold, backbone.joint
        self.masks: dict[str, Tensor] = {}
        self.handles = []
        for name, transformer in denoisers(pipe, backbone).items():
            for block, attention in enumerate(text_attentions(transformer, backbone)):
                hook = self._hook(f"{name}.{block}")
                self.handles.append(attention.register_forward_pre_hook(hook, with_kwargs=True))

    def _hook(self, place: str) -> Any:
        def look(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            given = list(args)
            video = kwargs.get("hidden_states", given[0] if given else None)
            text = kwargs.get("encoder_hidden_states", given[1] if len(given) > 1 else None)
            q, k = module.to_q(video), module.to_k(text)
            heads = module.heads
            if self.joint:  # CogVideoX normalises each head, Wan all of them together
                q, k = (x.unflatten(-1, (heads, -1)) for x in (q, k))
            q = q if module.norm_q is None else module.norm_q(q)
            k = k if module.norm_k is None else module.norm_k(k)
            if not self.joint:
                q, k = (x.unflatten(-1, (heads, -1)) for x in (q, k))
            scores = torch.einsum("bvhd,bthd->bhvt", q.float(), k.float()) / q.shape[-1] ** 0.5
            share = scores.softmax(dim=-1)[..., self.positions].sum(dim=-1).mean(dim=1)
            low, high = share.amin(dim=-1, keepdim=True), share.amax(dim=-1, keepdim=True)
            self.masks[place] = ((share - low) / (high - low).clamp_min(1e-8) > self.threshold)[..., None]

        return look

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()


def _positions(reader: Reader, prompt: str, concept: Concept) -> list[int]:
    """Positions of all tokens of the concept's names in a prompt; all words where none is found."""
    ids = reader.ids(prompt)[0][0].tolist()
    special = set(reader.path.tokenizer.all_special_ids)
    found: set[int] = set()
    for name in concept.names:
        own = [i for i in reader.path.tokenizer(name).input_ids if i not in special]
        for start in range(len(ids) - len(own) + 1):
            if own and ids[start : start + len(own)] == own:
                found |= set(range(start, start + len(own)))
    return sorted(found) or [i for i, token in enumerate(ids) if token not in special]


def learn(
    pipe: Any, concepts: Sequence[Concept], settings: Mapping[str, Any], seed: int, progress: bool
) -> dict[str, Tensor]:
    """Train adapters. `settings["call"]` are the pipeline's arguments while it draws."""
    backbone = known_backbone(pipe, "T2VUnlearning")
    generator = torch.Generator().manual_seed(seed)
    adapters = {
        name: tensor.requires_grad_() for name, tensor in start(pipe, backbone, settings["rank"], generator).items()
    }
    optimizer = torch.optim.Adam(list(adapters.values()), lr=settings["learning_rate"])
    call = {"guidance_scale": settings["guidance"], **settings["call"]}
    steps = int(call.get("num_inference_steps", 50))
    length = call.get("max_sequence_length")
    reader = Reader(pipe, length)
    written = [write_prompts(c, seed=seed, pairs=settings["pairs"], retain=settings["pairs"]) for c in concepts]
    extra = {} if length is None else {"max_sequence_length": length}

    def embed(prompt: str) -> Tensor:
        with torch.no_grad():
            return pipe.encode_prompt(prompt, do_classifier_free_guidance=False, **extra)[0]

    nothing = embed("")
    for _ in tqdm(range(settings["iterations"]), desc="T2VUnlearning", disable=not progress):
        which, row, other, stop, noise = (
            int(torch.randint(bound, (), generator=generator))
            for bound in (len(concepts), settings["pairs"], settings["pairs"], steps, 2**31)
        )
        prompt = written[which].pairs[row].positive
        keep = [*written[which].retain, *(pair.negative for pair in written[which].pairs)][other]
        with adapted(pipe, backbone, adapters):
            moment = _Moment(pipe, backbone, prompt, call, stop, noise)
        named, kept = embed(prompt), embed(keep)
        attention = _Attention(pipe, backbone, _positions(reader, prompt, concepts[which]), settings["mask_threshold"])
        try:
            with torch.no_grad():
                about = moment.predict(pipe, named)
        finally:
            attention.close()
        with torch.no_grad():
            without, usual = moment.predict(pipe, nothing), moment.predict(pipe, kept)
        target = without - settings["eta"] * (about - without)
        added: dict[str, Tensor] = {}
        with adapted(pipe, backbone, adapters, added):
            loss = F.mse_loss(moment.predict(pipe, named), target)
            outside = [
                ((~attention.masks[place]) * output.float()).square().mean()
                for place, output in added.items()
                if place in attention.masks
            ]
            loss = loss + settings["local"] * torch.stack(outside).mean()
        with adapted(pipe, backbone, adapters):
            loss = loss + settings["keep"] * F.mse_loss(moment.predict(pipe, kept), usual)
        for tensor, gradient in zip(adapters.values(), torch.autograd.grad(loss, list(adapters.values())), strict=True):
            tensor.grad = gradient  # not backward(): that would leave gradients on the model's own weights
        optimizer.step()
    return {name: tensor.detach() for name, tensor in adapters.items()}


T2V_UNLEARNING = Baseline(
    "t2v_unlearning",
    {
        "rank": 128,
        "strength": 1.0,
        "eta": 7.0,
        "guidance": 7.0,
        "local": 1.0,
        "keep": 1.0,
        "mask_threshold": 0.1,
        "learning_rate": 1e-4,
        "iterations": 500,
        "pairs": 60,
        "call": {},
    },
    learn,
    put_on,
    text_only=False,
)
