"""Negative prompts that name the concept, guidance in all its forms, and options of a call."""

from __future__ import annotations

from typing import Any

import torch

from unseen.bench.ways.scene import NEGATIVE, TARGET, UNRELATED, Scene, cogvideox, wan
from unseen.bench.ways.way import way
from unseen.errors import UnseenError


def _negatives(s: Scene) -> list[torch.Tensor]:
    return [row for given in s.log[1::2] for row in given]


@way("unchanged")
def names_the_concept(s: Scene) -> None:
    """The negative prompt reaches the denoiser as it is; the prompt is free of the concept."""
    s.expected = [s.erased(UNRELATED)]
    with s.attach():
        s.guide(UNRELATED, negative_prompt=TARGET)
    s.check(all(torch.equal(row, s.plain(TARGET)[0]) for row in _negatives(s)), "the negative prompt")


@way("erased")
def both_name_the_concept(s: Scene) -> None:
    """Prompt and negative prompt are the same words: one is erased, the other not."""
    with s.attach():
        s.guide(TARGET, negative_prompt=TARGET)
    s.check(all(torch.equal(row, s.plain(TARGET)[0]) for row in _negatives(s)), "the negative prompt")


@way("erased", scene=cogvideox)
def both_name_the_concept_in_one_batch(s: Scene) -> None:
    """The same for CogVideoX."""
    with s.attach():
        s.guide(TARGET, negative_prompt=TARGET)
    s.check(all(torch.equal(given[0], s.plain(TARGET)[0]) for given in s.log), "the negative prompt")


@way("erased")
def on_negative(s: Scene) -> None:
    """attach(on_negative=True) erases it there as well."""
    with s.attach(on_negative=True):
        s.guide(TARGET, negative_prompt=NEGATIVE)
    s.check(all(torch.equal(row, s.erased(NEGATIVE)[0]) for row in _negatives(s)), "the negative prompt")


@way("refused")
def as_prompt_embeds(s: Scene) -> None:
    """The negative prompt's embedding is passed as prompt_embeds."""
    with s.attach():
        negative = s.embed(UNRELATED, negative_prompt=TARGET)[1]
        s.generate(prompt_embeds=negative)


@way("refused")
def as_prompt_embeds_beside_the_prompt(s: Scene) -> None:
    """Prompt and negative prompt exchange their arguments."""
    with s.attach():
        prompt, negative = s.embed(UNRELATED, negative_prompt=TARGET)
        s.guide(prompt_embeds=negative, negative_prompt_embeds=prompt)


@way("unchanged")
def own_negative_embeddings(s: Scene) -> None:
    """negative_prompt_embeds made without the eraser are fine."""
    s.expected = [s.erased(UNRELATED)]
    with s.attach():
        s.guide(UNRELATED, negative_prompt_embeds=s.plain(TARGET))


@way("unchanged")
def empty_negative_prompt(s: Scene) -> None:
    """No negative prompt at all: the empty one."""
    s.expected = [s.erased(UNRELATED)]
    with s.attach():
        s.guide(UNRELATED)


@way("erased")
def guidance_of_one(s: Scene) -> None:
    """Guidance 1: the negative prompt is not used."""
    with s.attach():
        s.generate(TARGET, negative_prompt=NEGATIVE)


@way("erased")
def guidance_just_above_one(s: Scene) -> None:
    """Guidance 1.0001."""
    with s.attach():
        s.guide(TARGET, negative_prompt=NEGATIVE, guidance_scale=1.0001)


@way("erased")
def guidance_below_nought(s: Scene) -> None:
    """Guidance −7: Wan makes it guidance off."""
    with s.attach():
        s.generate(TARGET, negative_prompt=NEGATIVE, guidance_scale=-7.0)


@way("erased")
def guidance_that_varies(s: Scene) -> None:
    """CogVideoX's dynamic guidance."""
    other = cogvideox()
    with other.attach():
        other.guide(TARGET, negative_prompt=NEGATIVE, use_dynamic_cfg=True)
    other.look_through_the_log()
    s.findings += other.findings


@way("erased")
def several_videos(s: Scene) -> None:
    """num_videos_per_prompt=3 with guidance."""
    with s.attach():
        s.guide(TARGET, negative_prompt=NEGATIVE, num_videos_per_prompt=3)


@way("erased")
def a_list_of_prompts(s: Scene) -> None:
    """Prompts of several customers in one batch, with a negative prompt each."""
    s.expected = [s.erased(TARGET), s.erased(UNRELATED), s.erased(NEGATIVE)]
    with s.attach():
        s.guide([TARGET, UNRELATED, NEGATIVE], negative_prompt=["", TARGET, UNRELATED])


@way("erased")
def the_same_prompt_twice(s: Scene) -> None:
    """A list with the same prompt twice."""
    with s.attach():
        s.guide([TARGET, TARGET], negative_prompt=[NEGATIVE, NEGATIVE])


@way("erased")
def by_position(s: Scene) -> None:
    """encode_prompt's arguments by position."""
    with s.attach(), torch.no_grad():
        made = s.pipe.encode_prompt(TARGET, NEGATIVE, True, 1, None, None, 16)
        s.guide(prompt_embeds=made[0], negative_prompt_embeds=made[1])


@way("erased")
def after_a_failed_call(s: Scene) -> None:
    """A call that fails for its arguments, then a good one."""
    with s.attach():
        for wrong in ({"height": 33}, {"num_frames": "x"}, {"prompt": 5}):
            try:
                s.generate(**{"prompt": TARGET, **wrong})  # type: ignore[arg-type]
            except UnseenError:
                s.check(False, "an error of ours")
            except Exception:
                s.check(True, "its own error")
        s.guide(TARGET, negative_prompt=NEGATIVE)


@way("erased")
def a_prompt_that_is_cut_off(s: Scene) -> None:
    """A prompt longer than the limit, with the concept in front."""
    with s.attach():
        made = s.embed(TARGET + " table" * 500, do_classifier_free_guidance=False)[0]
        s.generate(prompt_embeds=made)
    s.expected = [made]
    s.check(not torch.equal(made, s.embed(TARGET + " table" * 500, do_classifier_free_guidance=False)[0]), "changed")


@way("unchanged")
def the_concept_behind_the_limit(s: Scene) -> None:
    """What is cut off costs nothing and opens nothing."""
    text = "table " * 40 + "zeppelin"
    with s.attach():
        made = s.embed(text, do_classifier_free_guidance=False)[0]
    s.check(torch.equal(made, s.embed(text, do_classifier_free_guidance=False)[0]), "as without")


@way("erased")
def another_length(s: Scene) -> None:
    """Encoded at one length, used at another: the rest are zeros."""
    s.call["max_sequence_length"] = 48
    s.expected = [s.both(TARGET).erased]
    with s.attach():
        long = s.embed(TARGET, do_classifier_free_guidance=False)[0]
        s.generate(prompt_embeds=long, max_sequence_length=16)


@way("erased")
def in_half_precision(s: Scene) -> None:
    """A denoiser in bfloat16 is given the embedding rounded."""
    s.pipe.transformer.to(torch.bfloat16)
    with s.attach():
        s.guide(TARGET, negative_prompt=NEGATIVE)


@way("erased")
def encoder_in_bfloat16(s: Scene) -> None:
    """The text encoder is loaded in bfloat16."""
    s.pipe.text_encoder.to(torch.bfloat16)
    s.expected = [s.both(TARGET).erased]
    with s.attach():
        s.guide(TARGET, negative_prompt=NEGATIVE)


def _family(family: str) -> None:
    def run(s: Scene) -> None:
        with s.attach():
            s.guide([TARGET, TARGET, TARGET], negative_prompt=[NEGATIVE, "", UNRELATED])

    run.__module__ = __name__
    for make in (wan, cogvideox):
        name = f"three prompts through {family.upper()}, {make.__name__}"
        tried = "three prompts in a batch, the size at which a block's output is easily packed wrongly"
        way("erased", scene=lambda make=make: make(family), name=name, tried=tried)(run)  # type: ignore[misc]


for _one in ("bert", "t5", "umt5"):
    _family(_one)


@way("erased")
def in_other_forms(s: Scene) -> None:
    """Prompts as a tuple, as a string of a class of its own, and of one element."""

    class Text(str):
        __slots__ = ()

    with s.attach():
        forms: list[Any] = [(TARGET,), Text(TARGET), [Text(TARGET)]]
        for form in forms:
            s.same(s.embed(form, do_classifier_free_guidance=False)[0], s.erased())


@way("refused")
def negative_embeddings_used_as_a_prompt_later(s: Scene) -> None:
    """Unedited embeddings pass as negative ones; afterwards they are no more known as a prompt than before."""
    with s.attach():
        s.embed(UNRELATED, negative_prompt_embeds=s.plain(TARGET))
        s.embed(UNRELATED, negative_prompt_embeds=s.plain(TARGET), do_classifier_free_guidance=False)
        s.generate(prompt_embeds=s.plain(TARGET))


@way("refused")
def foreign_negative_embeddings_where_they_are_erased(s: Scene) -> None:
    """on_negative=True and negative embeddings that no eraser has seen."""
    s.expected = [s.erased(UNRELATED)]
    with s.attach(on_negative=True):
        s.guide(UNRELATED, negative_prompt_embeds=s.plain(TARGET))
