"""What is kept apart: an eraser's own fit shares no wording with what it is measured on, beyond the names it is given,
and no training scene is one of the combinations held out."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from unseen.diorama.world import captions, scenes
from unseen.diorama.world.sampling import COUNTABLE, is_held_out, sample_scene
from unseen.prompts import frames
from unseen.prompts import lexicon as words

SPLITS = ("development", "test")


def bare(text: str) -> str:
    """`text` without slots, articles and capitals."""
    return re.sub(r"\s+", " ", re.sub(r"{\w*}|\b(an?|the)\b", " ", text.lower())).strip(" ,.:")


@pytest.mark.parametrize("split", SPLITS)
def test_the_fit_uses_no_context_phrase_of_an_evaluation_split(split):
    grammar = captions.grammar()
    measured = {bare(text) for place in grammar.backgrounds.values() for text in place[split]}
    measured |= {bare(form) for motion in grammar.motions.values() for forms in motion[split] for form in forms}
    assert not measured & {
        bare(text) for text in (*words.PLACES, *words.ACTIONS, *frames.OUTDOORS, *frames.PERSON_ACTIONS)
    }


@pytest.mark.parametrize("split", SPLITS)
def test_the_fit_uses_no_template_of_an_evaluation_split(split):
    by_split = captions.grammar().templates
    measured = {bare(t) for (s, *_), found in by_split.items() if s == split for ts in found.values() for t in ts}
    fitted = (*words.OBJECT_TEMPLATES, *words.STYLE_TEMPLATES, *words.ATTRIBUTE_TEMPLATES, *words.RETAIN_TEMPLATES)
    fitted += tuple(text for name, texts in vars(frames).items() if name.endswith("_TEMPLATES") for text in texts)
    # nothing is left of a template that is only slots, and nothing can be shared by it
    assert not (measured & {bare(text) for text in fitted}) - {""}


@pytest.mark.parametrize("split", SPLITS)
def test_no_other_name_of_an_evaluation_split_is_in_the_retain_bank(split):
    held_back = {bare(name) for key in captions.KEYS for kind in captions.KINDS[1:]
                 for name in captions.names(key, kind, split)}  # fmt: skip
    bank = (*words.THINGS, *words.PEOPLE, *words.MEDIA, *words.ATTRIBUTES, *words.ARTISTS)
    bank += tuple(text for texts in vars(frames).values() if isinstance(texts, tuple) for text in texts)
    assert not held_back & {bare(word) for word in bank}


def test_names_listed_for_a_fit_are_none_that_are_measured() -> None:
    from unseen.bench.prompts.rewording import listed_names as listed

    for key in (*scenes.OBJECTS, *scenes.NEIGHBOURS):
        measured = {
            name.lower() for split in ("development", "test") for kind in captions.KINDS
            if kind != "main" for name in captions.names(key, kind, split)
        }  # fmt: skip
        for name in listed(key):
            assert not any(re.search(rf"\b{re.escape(name.lower())}\b", other) for other in measured), name


def held_out(scene: scenes.Scene) -> bool:
    return any(is_held_out(s, scene.background, scene.motion, scene.style) for s in scene.subjects)


def test_no_training_scene_is_held_out_and_every_held_out_scene_is() -> None:
    rng = np.random.default_rng(0)
    assert not any(held_out(sample_scene(rng)) for _ in range(2000))
    for count, stacked, repeat in ((1, False, 1), (2, False, 1), (2, True, 1), (3, False, 1), (1, False, 3)):
        for _ in range(100):
            assert held_out(sample_scene(rng, held_out=True, count=count, stacked=stacked, repeat=repeat))


def test_shares_of_training_scenes() -> None:
    rng = np.random.default_rng(1)
    drawn = [sample_scene(rng) for _ in range(6000)]
    shares = Counter((len(s.subjects), len(set(s.subjects)), s.stacked) for s in drawn)
    wanted = {(0, 0, False): 0.09, (1, 1, False): 0.4, (2, 2, False): 0.33, (2, 2, True): 0.05, (3, 3, False): 0.06}
    wanted |= {(2, 1, False): 0.035, (3, 1, False): 0.035}
    assert set(shares) == set(wanted)
    assert all(abs(shares[shape] / len(drawn) - share) < 0.025 for shape, share in wanted.items())
    counted = [s for s in drawn if len(s.subjects) > len(set(s.subjects))]
    assert all(s.subjects[0] in COUNTABLE and not s.attributes for s in counted)
    carriers = [s for s in drawn if len(s.subjects) == 1 and s.subjects[0] in scenes.CARRIERS]
    assert 0.4 < np.mean([bool(s.attributes) for s in carriers]) < 0.6
    assert 0.35 < np.mean([s.style == "plain" for s in drawn]) < 0.45
    assert {s for scene in drawn for s in scene.subjects} == set(scenes.SUBJECTS)
    assert all(captions.caption(scene, rng) for scene in drawn[:2000])


def test_what_is_asked_for_is_sampled() -> None:
    rng = np.random.default_rng(2)
    for count in (1, 2, 3):
        places = Counter(sample_scene(rng, subject="cat", count=count).subjects.index("cat") for _ in range(100))
        assert set(places) == set(range(count))
    assert sample_scene(rng, subject="cat", repeat=2).subjects == ("cat", "cat")
    stack = sample_scene(rng, stacked=True)
    assert stack.stacked and len(set(stack.subjects)) == 2
    assert sample_scene(rng, subject="owl").subjects == ("owl",)
    with pytest.raises(ValueError, match="thing"):
        sample_scene(rng, subject="amber_bramble", repeat=2)
    with pytest.raises(ValueError, match="up to three"):
        sample_scene(rng, count=4)
