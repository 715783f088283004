"""What a way is tried on: a tiny real pipeline, an eraser for one word, and a spy inside its denoiser.

What should reach the denoiser is computed with a hook of this module's own, and what does reach it is read where the
denoiser first uses it. So a way is judged by what happened, never by what the library says of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import unseen
from unseen.bench.ways.tiny import make_eraser, make_pipe
from unseen.clear.eraser import ClearEraser
from unseen.encoder.layers import find_blocks
from unseen.pipelines import text_path

TARGET, UNRELATED, NEGATIVE = "a red zeppelin near the river", "a blue wolf near the river", "a zeppelin in the garden"
CALL = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 3, "output_type": "latent"}
LENGTH = 16


_LOGS: list[list[Tensor]] = []


@torch.library.custom_op("unseen_ways::written_down", mutates_args=())
def _written_down(text: Tensor, log: int) -> Tensor:
    """The text as it came. A compiler takes it for one step of its graph, and leaves it where it is."""
    _LOGS[log].append(text.detach().clone())
    return text.clone()


@_written_down.register_fake
def _(text: Tensor, log: int) -> Tensor:
    return torch.empty_like(text)


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    fine: bool
    unerased: bool = False
    """Whether it was the concept itself, where its erasure was expected."""


class Texts(NamedTuple):
    """What a prompt is encoded as, `[1, tokens, d]`."""

    plain: Tensor
    erased: Tensor


class Scene:
    """A pipeline with an eraser that is not attached yet."""

    def __init__(
        self,
        pipe: Any,
        eraser: ClearEraser,
        *,
        one_batch: bool = False,
        call: dict[str, Any] | None = None,
        encode: Callable[[Any, str], Tensor] | None = None,
        texts: Sequence[str] = (TARGET, UNRELATED, NEGATIVE, ""),
        known: Mapping[str, Texts] | None = None,
        reader: Callable[[Any], tuple[nn.Module, int]] | None = None,
    ) -> None:
        """`one_batch`: prompt and negative prompt reach the denoiser together, the negative one first."""
        self.pipe, self.eraser, self.one_batch = pipe, eraser, one_batch
        self.call = {**CALL, "max_sequence_length": LENGTH} if call is None else call
        self._encode = encode or (
            lambda pipe, text: pipe.encode_prompt(
                text, do_classifier_free_guidance=False, max_sequence_length=self.call["max_sequence_length"]
            )[0]
        )
        self._reader = reader or reader_of
        self.log: list[Tensor] = []
        """The text of every pass of a denoiser, `[batch, tokens, d]`."""
        self.guided = False
        """Whether passes for the prompt and for the negative prompt alternate (or lie in one batch)."""
        self.expected: list[Tensor] = []
        """What rows of prompts should be, in turn; by default the erased target."""
        self.findings: list[Finding] = []
        self.texts = {text: self.both(text) for text in texts} if known is None else known
        self.spy(pipe.transformer)

    # What should be

    @torch.no_grad()
    def both(self, text: str, pipe: Any = None) -> Texts:
        """A prompt as it is encoded without the eraser and with it, while nothing is attached."""
        pipe = pipe or self.pipe
        plain = self._encode(pipe, text)
        with edited_by(pipe.text_encoder, self.eraser):
            return Texts(plain, self._encode(pipe, text))

    def plain(self, text: str | None = None) -> Tensor:
        """The embedding of a text (by default the target) without erasers."""
        return self.texts[next(iter(self.texts)) if text is None else text].plain

    def erased(self, text: str | None = None) -> Tensor:
        """The same with the eraser."""
        return self.texts[next(iter(self.texts)) if text is None else text].erased

    # What is done

    def attach(self, pipes: Any = None, **options: Any) -> unseen.Handle:
        """`unseen.attach` with the eraser."""
        return unseen.attach(self.pipe if pipes is None else pipes, self.eraser, **options)

    def generate(self, prompt: Any = None, *, pipe: Any = None, steps: int | None = None, **options: Any) -> Any:
        """A clip's latents. Guidance is off unless asked for."""
        given = {"guidance_scale": 1.0, **self.call, **options}
        if steps is not None:
            given["num_inference_steps"] = steps
        return (pipe or self.pipe)(prompt, generator=torch.Generator().manual_seed(0), **given)[0]

    def guide(self, prompt: Any = None, **options: Any) -> Any:
        """A clip's latents with guidance, which the spy then reckons with."""
        self.guided = True
        return self.generate(prompt, **{"guidance_scale": 5.0, **options})

    @torch.no_grad()
    def embed(self, prompt: Any, *, pipe: Any = None, **options: Any) -> Any:
        """What `encode_prompt` gives."""
        return (pipe or self.pipe).encode_prompt(
            prompt, max_sequence_length=self.call["max_sequence_length"], **options
        )

    @torch.no_grad()
    def denoise(self, text: Any, *, module: Any = None) -> None:
        """One pass of the (Wan) denoiser, as somebody's own loop would make it."""
        (self.pipe.transformer if module is None else module)(
            hidden_states=torch.zeros(1, 4, 2, 4, 4), timestep=torch.tensor([500]), encoder_hidden_states=text
        )

    # What is seen

    def spy(self, module: nn.Module) -> None:
        """Write down the text that `module` reads."""
        place, position = self._reader(module)

        number = len(_LOGS)
        _LOGS.append(self.log)

        def look(_: nn.Module, args: tuple) -> tuple:
            return *args[:position], _written_down(args[position], number), *args[position + 1 :]

        place.register_forward_pre_hook(look)

    def same(self, actual: Tensor, expected: Tensor, what: str = "embeddings") -> None:
        """Two tensors have to be equal bit for bit."""
        fine = actual.shape == expected.shape and torch.equal(actual, expected.to(actual.dtype))
        unerased = actual.shape[1:] == self.plain().shape[1:] and any(self._is_plain(row) for row in actual)
        self.findings.append(Finding(what, fine, unerased and not fine))

    def check(self, fine: bool, what: str) -> None:
        """Something else has to hold."""
        self.findings.append(Finding(what, bool(fine)))

    def forget(self) -> None:
        """What the denoiser was given until now does not count."""
        self.log.clear()

    def _is_plain(self, row: Tensor) -> bool:
        """Whether a row `[tokens, d]` is a prompt of the concept as no eraser has seen it."""
        own = [t.plain[0].to(row.dtype) for t in self.texts.values() if not torch.equal(t.plain, t.erased)]
        return any(row.shape == plain.shape and torch.equal(row, plain) for plain in own)

    def rows(self) -> Iterator[Tensor]:
        """What the denoiser was given in the places of prompts, each `[tokens, d]`."""
        passes = self.log if not self.guided or self.one_batch else self.log[::2]
        for given in passes:
            yield from given[len(given) // 2 :] if self.guided and self.one_batch else given

    def look_through_the_log(self) -> None:
        """Turn what the denoiser was given into findings."""
        expected = [row for tensor in self.expected or [self.erased()] for row in tensor]
        for place, row in enumerate(self.rows()):
            wanted = expected[place % len(expected)].to(row.dtype)
            fine = row.shape == wanted.shape and torch.equal(row, wanted)
            self.findings.append(Finding(f"prompt {place} at the denoiser", fine, not fine and self._is_plain(row)))
        self.log.clear()


def reader_of(module: nn.Module) -> tuple[nn.Module, int]:
    """Where a transformer first reads text, and at which position it is given it."""
    inner: Any = getattr(module, "_orig_mod", module)
    if hasattr(inner, "condition_embedder"):
        return inner.condition_embedder.text_embedder, 0
    return inner.patch_embed, 0


@contextmanager
def edited_by(encoder: nn.Module, eraser: ClearEraser) -> Iterator[None]:
    """The eraser's formula at its layer, by a hook that has nothing to do with the library's; its gate is open."""
    valid: list[Tensor | None] = [None]

    def begin(_: nn.Module, args: tuple, kwargs: dict) -> None:
        mask = kwargs.get("attention_mask", args[1] if len(args) > 1 else None)
        valid[0] = None if mask is None else mask > 0

    def edit(_: nn.Module, args: tuple, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        named = torch.ones(len(hidden), dtype=torch.bool)
        changed = (hidden.float() + eraser.delta(hidden, valid[0], named=named).change).to(hidden.dtype)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handles = [
        encoder.register_forward_pre_hook(begin, with_kwargs=True),
        find_blocks(encoder)[eraser.layer].register_forward_hook(edit, prepend=True),  # before states are collected
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@cache
def _planted(family: str, form: Any, word: str, layer: int) -> ClearEraser:
    from unseen.bench.ways.tiny import make_encoder, make_tokenizer

    return make_eraser(make_tokenizer(), make_encoder(family), word=word, layer=layer, form=form)


def planted(pipe: Any, family: str, word: str = "zeppelin", layer: int = 1) -> ClearEraser:
    """An eraser of one word for a tiny text encoder; its weights are always the same, so it is made once."""
    return _planted(family, text_path(pipe).form, word, layer)


_KNOWN: dict[str, Mapping[str, Texts]] = {}  # the weights of a family are always the same


def wan(family: str = "umt5") -> Scene:
    """Wan in small: prompt and negative prompt in passes of their own."""
    pipe = make_pipe(family)
    scene = Scene(pipe, planted(pipe, family), known=_KNOWN.get(f"wan {family}"))
    _KNOWN[f"wan {family}"] = scene.texts
    return scene


def deep_wan() -> Scene:
    """Wan with two blocks, so that a cache may leave one out."""
    pipe = make_pipe()
    torch.manual_seed(0)
    pipe.transformer = type(pipe.transformer).from_config({**pipe.transformer.config, "num_layers": 3}).eval()
    return Scene(pipe, planted(pipe, "umt5"))


def cogvideox(family: str = "t5") -> Scene:
    """CogVideoX in small: negative prompt and prompt in one batch."""
    from unseen.bench.ways.families import make_cogvideox

    pipe = make_cogvideox(family)
    scene = Scene(pipe, planted(pipe, family), one_batch=True, known=_KNOWN.get(f"cogvideox {family}"))
    _KNOWN[f"cogvideox {family}"] = scene.texts
    return scene
