"""Which words of a prompt mean a concept, by what the video model would show; on tiny pipelines and on Diorama."""

from __future__ import annotations

import dataclasses
import threading

import diffusers
import pytest
import torch
from conftest import make_eraser, make_pipe, make_tokenizer
from diffusers import FirstBlockCacheConfig, FlowMatchEulerDiscreteScheduler
from tiny import make_cogvideox

import unseen
from unseen import diorama
from unseen.concept import Concept
from unseen.errors import PromptTooLongError
from unseen.runtime.rewriting import paraphrase
from unseen.runtime.rewriting.matching import as_matched, exchanged, is_abbreviated, is_named, within, words
from unseen.runtime.rewriting.paraphrase import Rewriter
from unseen.runtime.rewriting.views import _REMEMBERED, REFERENCES, RIVALS, Views, views_of

VIOLIN = "a violin near the river"
LENGTH = diorama.GENERATION["max_sequence_length"]
MAKERS = {"wan": make_pipe, "cogvideox": make_cogvideox}


def with_synonym(pipe, word="violin", name="zeppelin"):
    """The pipeline, in whose text encoder `word` is the same as `name`."""
    rows, ids = pipe.text_encoder.get_input_embeddings().weight.data, make_tokenizer().convert_tokens_to_ids
    rows[ids(word)] = rows[ids(name)]
    return pipe


def rewritten(pipe, prompt, *names, **options):
    concepts = [Concept(name) for name in names or ("zeppelin",)]
    return Rewriter(pipe, concepts, **options).rewrite([prompt], 16)[0]


@pytest.mark.parametrize("maker", MAKERS)
def test_what_means_the_concept_becomes_its_name_and_all_else_stays(maker):
    pipe = with_synonym(MAKERS[maker]())
    found = rewritten(pipe, VIOLIN)
    assert found.text == "a zeppelin near the river"
    [(name, phrase)] = found.mentions
    assert name == "zeppelin" and phrase.text == "violin" and VIOLIN[phrase.start : phrase.end] == "violin"
    for other in ("a wolf near the table", "", "of the", "a zeppelin near the river"):
        assert rewritten(pipe, other) == (other, (), False)


def test_what_another_attached_concept_is_called_is_never_taken_for_this_one_and_order_does_not_matter():
    pipe = with_synonym(make_pipe())
    assert rewritten(pipe, VIOLIN, "zeppelin", "violin").text == VIOLIN
    prompt = "a violin beside an apple, a lemon in the garden"
    found = [rewritten(pipe, prompt, *names) for names in (("zeppelin", "lemon"), ("lemon", "zeppelin"))]
    assert found[0] == found[1]
    assert found[0].text == "a zeppelin beside an apple, a lemon in the garden"


def test_the_article_follows_the_word_it_stands_before():
    assert exchanged("A violin, a wolf", [((2, 8), "apple")]) == "An apple, a wolf"
    assert exchanged("an apple", [((3, 8), "zeppelin")]) == "a zeppelin"
    assert exchanged("a burning cabin", [((2, 9), "")]) == "a cabin"


@pytest.mark.parametrize(
    ("written", "matched"),
    [
        ("a vi\u200bolin near", "a violin near"),
        ("a vio\u00adlin near", "a violin near"),
        ("a vio\u0301lin near", "a violin near"),
        ("a &#118;iolin&nbsp;near", "a violin near"),
        ("a ｖｉｏｌｉｎ near", "a violin near"),
        ("a violin\n\nnear", "a violin near"),
    ],
)
def test_prompts_are_matched_as_the_encoder_sees_them(written, matched):
    pipe = with_synonym(make_pipe())
    text = as_matched(pipe, written)
    assert "".join(c for c in text if c not in "\u0301").replace("ó", "o") == matched
    if "\u0301" not in written:
        assert rewritten(pipe, f"{written} the river").text == "a zeppelin near the river"


def test_what_means_nothing_comes_back_as_it_came():
    for prompt in ("a wo\u200blf &amp; a  dog", "a ｄｏｇ", "A DO\u00adG\n"):
        assert rewritten(make_pipe(), prompt).text == prompt


def test_a_name_that_is_hidden_by_invisible_characters_comes_out_of_hiding():
    assert rewritten(make_pipe(), "a zep\u200bpelin near the river").text == "a zeppelin near the river"


def test_words_of_any_script_and_names_in_it():
    assert [word.text for word in words("吹圆号, Straße d'été")][:3] == ["吹", "圆", "号"]
    assert is_named(["圆号"], "a 圆号 here") and not is_named(["horn"], "hornet")


def test_a_name_with_initials_is_the_name_for_persons_and_artists_alone():
    texts = ("by T. Inkwell", "T.INKWELL", "Tobias I. drew")
    assert [is_abbreviated(["Tobias Inkwell"], text) for text in texts] == [[(3, 13)], [(0, 9)], [(0, 9)]]
    for other in ("Tobias Inkwell", "last. Inkwell", "t inkwell", "Tobias is", "T. Inkwells"):
        assert not is_abbreviated(["Tobias Inkwell"], other)
    rewriter = Rewriter(make_pipe(), [Concept("Tobias Inkwell", "identity"), Concept("Theo Inkwell", "identity")])
    [found] = rewriter.rewrite(["a wolf by T. Inkwell"], 16)
    assert found.text == "a wolf by Theo Inkwell" and len(found.mentions) == 1
    [(_, phrase)] = Rewriter(make_pipe(), [Concept("Tobias Inkwell")]).rewrite(["a wolf by T. Inkwell"], 16)[0].mentions
    assert phrase.text == "Inkwell"  # of an object, the words are asked as ever


def test_the_point_after_an_initial_is_no_pause_and_neither_is_an_ampersand():
    assert [word.paused for word in words("plan by N. Harbor. Rose & blue, red")] == [False] * 4 + [True, False, True]


def test_previews_do_not_depend_on_scheduler_caches_or_callbacks():
    pipe = with_synonym(make_pipe())
    plain = rewritten(pipe, VIOLIN)
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=8, shift_terminal=0.1)
    assert rewritten(pipe, VIOLIN) == plain
    pipe.scheduler = None
    assert rewritten(pipe, VIOLIN) == plain


def test_step_caches_stay_as_they_were():
    pipe = with_synonym(make_pipe())
    torch.manual_seed(0)
    pipe.transformer = diffusers.WanTransformer3DModel.from_config({**pipe.transformer.config, "num_layers": 3}).eval()
    plain = rewritten(pipe, VIOLIN)
    pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    hooks = [m._diffusers_hook for m in pipe.transformer.modules() if hasattr(m, "_diffusers_hook")]
    states = [
        h for registry in hooks for hook in registry.hooks.values() if (h := getattr(hook, "state_manager", None))
    ]
    assert rewritten(pipe, VIOLIN) == plain
    assert states and not any(state._state_cache for state in states)


def turns(pipe, monkeypatch):
    """Which of text encoder and transformer ran, without repeats, from now on."""
    ran: list[str] = []

    def note(name):
        def noted(*_):
            if not ran or ran[-1] != name:
                ran.append(name)

        return noted

    pipe.text_encoder.register_forward_pre_hook(note("text"))
    pipe.transformer.patch_embedding.register_forward_pre_hook(note("video"))
    monkeypatch.setattr(pipe, "_all_hooks", [object()], raising=False)  # as under model offload
    return ran


def test_under_offload_encoder_and_transformer_change_places_once_for_known_words(monkeypatch):
    pipe = with_synonym(with_synonym(make_pipe()), "piano")
    rewriter = Rewriter(pipe, [Concept("zeppelin")])
    rewriter.rewrite(["violin piano river garden table"], 16)  # its words are known from now on
    ran = turns(pipe, monkeypatch)
    found = rewriter.rewrite(["a piano beside a violin", "the violin in the garden", "a table"], 16)
    assert [len(rewrite.mentions) for rewrite in found] == [2, 1, 0]
    assert ran == ["text", "video"]  # and back to the text encoder, for the prompts themselves
    ran.clear()
    assert rewriter.rewrite(["a piano beside a violin"], 16) == found[:1] and not ran


def test_a_call_with_new_words_asks_at_most_once_more(monkeypatch):
    pipe = with_synonym(make_pipe())
    rewriter = Rewriter(pipe, [Concept("zeppelin")])
    rewriter.rewrite(["a table"], 16)
    ran = turns(pipe, monkeypatch)
    rewriter.rewrite([VIOLIN, "the violin in the garden"], 16)
    assert ran in (["text", "video"], ["text", "video", "text", "video"])


@pytest.mark.parametrize("change", ["weights", "exchange", "encoder"])
def test_views_are_made_anew_when_what_they_came_from_changes(change):
    pipe = with_synonym(make_pipe())
    rewriter = Rewriter(pipe, [Concept("zeppelin")])
    assert rewriter.rewrite([VIOLIN], 16)[0].mentions
    if change == "weights":
        for weight in pipe.transformer.parameters():
            weight.data.mul_(0.0)  # through .data, as a fused or exchanged adapter does
    elif change == "exchange":
        pipe.transformer = diffusers.WanTransformer3DModel.from_config(pipe.transformer.config).eval()
        for weight in pipe.transformer.parameters():
            weight.data.zero_()
    else:
        rows, ids = pipe.text_encoder.get_input_embeddings().weight, make_tokenizer().convert_tokens_to_ids
        with torch.no_grad():
            rows[ids("violin")] = rows[ids("wolf")]
    assert not rewriter.rewrite([VIOLIN], 16)[0].mentions


def test_what_is_cut_off_costs_nothing_and_opens_nothing(monkeypatch):
    pipe = with_synonym(make_pipe())
    rewriter = Rewriter(pipe, [Concept("zeppelin")])
    beginning = "a wolf near the table and a dog in the garden " * 2
    rewriter.rewrite([beginning], 16)
    asked: list[str] = []
    real = Views._preview
    monkeypatch.setattr(Views, "_preview", lambda self, pipe, texts: asked.extend(texts) or real(self, pipe, texts))
    prompt = beginning + "then a violin, " * 1000
    assert rewriter.rewrite([prompt], 16)[0] == (prompt, (), False) and not asked
    assert within(pipe.tokenizer, prompt, 16) in prompt[: len(beginning)]


def test_a_prompt_over_the_limit_is_refused_or_handled_by_name_alone():
    pipe = with_synonym(make_pipe())
    found = rewritten(pipe, VIOLIN, limit=1, over_limit="name_only")
    assert found == (VIOLIN, (), True)
    with pytest.raises(PromptTooLongError, match="limit is 1"):
        rewritten(pipe, VIOLIN, limit=1)
    assert rewritten(pipe, VIOLIN, limit=None).mentions


def test_several_threads_get_what_one_caller_gets():
    pipe = with_synonym(make_pipe())
    prompts = [VIOLIN, "a wolf near the table", "the violin in the garden", "a dog beside a violin"]
    wanted = [rewritten(pipe, prompt) for prompt in prompts]
    rewriter, wrong = Rewriter(pipe, [Concept("zeppelin")]), []

    def call(turn):
        for step in range(5):
            place = (turn + step) % len(prompts)
            if rewriter.rewrite([prompts[place]], 16) != [wanted[place]]:
                wrong.append(place)

    threads = [threading.Thread(target=call, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("concept", "prompt", "wanted"),
    [
        (
            Concept("French horn"),
            "somebody polishes valve horn on the porch",
            "somebody polishes valve French horn on the porch",
        ),
        (Concept("French horn"), "valve horn, sunny lawn", "valve French horn, sunny lawn"),
        (Concept("French horn"), "a bugle in the green grass", None),
        (Concept("church"), "a minster among the dunes", "a church among the dunes"),
        (Concept("golf ball"), "the felt ball next to a teapot", None),
        (
            Concept("golf ball"),
            "a dimpled&nbsp;b\u200ball under a starry sky",
            "a golf ball under a starry sky",
        ),
        (Concept("Tobias Inkwell", "style"), "a graphite sketch of a cat", "a Tobias Inkwell of a cat"),
        (Concept("Tobias Inkwell", "style"), "a penguin on hot sand", None),
        (
            Concept("Clara Pebble", "style"),
            "a drum on a large cheerful poster in rose and turquoise",
            "a drum on a large cheerful Clara Pebble",
        ),
        (Concept("chain saw"), "a gardener oils the hedge clipper on a sunny lawn", None),
        (Concept("burning", "attribute"), "a haystack on fire, dusk", "a haystack on burning, dusk"),
        (Concept("burning", "attribute"), "a haystack at dusk", None),
    ],
)
def test_diorama_knows_what_is_meant(world, concept, prompt, wanted):
    """On development wording, like the bounds; `unseen evaluate sentences` measures on test wording."""
    assert Rewriter(world, [concept]).rewrite([prompt], LENGTH)[0].text == (wanted or prompt)


def test_words_are_previewed_once_for_all_prompts_and_concepts(world, monkeypatch):
    asked: list[str] = []
    real = Views._preview
    Rewriter(world, [Concept("church")]).rewrite(["a teapot by the sea"], LENGTH)
    monkeypatch.setattr(Views, "_preview", lambda self, pipe, texts: asked.extend(texts) or real(self, pipe, texts))
    Rewriter(world, [Concept("church")]).rewrite(["the sea, and in it a teapot"], LENGTH)
    Rewriter(world, [Concept("gas pump")]).rewrite(["the sea and a teapot"], LENGTH)
    assert set(asked) <= {"gas pump"}


def test_rivals_are_previewed_only_where_a_word_looks_like_the_concept(monkeypatch):
    asked: list[str] = []
    real = Views._preview
    monkeypatch.setattr(Views, "_preview", lambda self, pipe, texts: asked.extend(texts) or real(self, pipe, texts))
    pipe = with_synonym(make_pipe())
    rewriter = Rewriter(pipe, [Concept("zeppelin")])
    assert not rewriter.rewrite(["a wolf near the table"], 16)[0].mentions
    assert {*asked} >= {*REFERENCES} and len({*RIVALS} - {*asked}) > 100
    assert rewriter.rewrite([VIOLIN], 16)[0].mentions
    assert {*asked} >= {*RIVALS} and len(asked) == len({*asked})  # each once


def test_what_is_seen_at_one_length_does_not_depend_on_lengths_asked_before():
    fresh, used = with_synonym(make_pipe()), with_synonym(make_pipe())
    views_of(used, 24)
    (first, _), (second, _) = views_of(fresh, 16), views_of(used, 16)
    assert first.basis.equal(second.basis) and first.references.equal(second.references)
    assert first.of(fresh, ["violin"]).equal(second.of(used, ["violin"]))


def test_what_is_shown_for_the_length_of_a_call_is_what_that_call_asked():
    pipe, named = make_pipe(), "a red zeppelin near the river"
    eraser = dataclasses.replace(make_eraser(pipe.tokenizer, pipe.text_encoder), mentions=True)
    with unseen.attach(pipe, eraser) as handle:
        pipe(named, max_sequence_length=16, num_inference_steps=1, height=16, width=16, num_frames=1, output_type="pt")
        assert len(_REMEMBERED[pipe.transformer].by_length) == 1
        assert handle.rewrite(named, max_sequence_length=16) == named
        assert {firing.token for firing in handle.explain(named, max_sequence_length=16)} == {"zeppelin"}
        assert len(_REMEMBERED[pipe.transformer].by_length) == 1


def test_after_a_warm_up_a_call_asks_about_its_own_words_alone(monkeypatch):
    pipe = make_pipe()
    asked: list[str] = []
    real = Views._preview
    eraser = dataclasses.replace(make_eraser(pipe.tokenizer, pipe.text_encoder), mentions=True)
    with unseen.attach(pipe, eraser) as handle:
        handle.warm_up()
        monkeypatch.setattr(Views, "_preview", lambda self, pipe, texts: asked.extend(texts) or real(self, pipe, texts))
        pipe("a wolf near the table", num_inference_steps=1, height=16, width=16, num_frames=1, output_type="latent")
    assert {*asked} and not {*asked} & {*REFERENCES}


def test_it_says_why_paraphrases_are_not_looked_for():
    blind = make_pipe()
    blind.transformer = None
    assert paraphrase.can_preview(make_pipe()) is None and "transformer" in paraphrase.can_preview(blind)


def test_a_transformer_with_positions_for_one_length_is_asked_at_that_length() -> None:
    """CogVideoX-2B has no rotary embeddings: its transformer takes texts of 226 tokens and no others."""
    pipe = make_cogvideox()
    config = {**pipe.transformer.config, "use_rotary_positional_embeddings": False}
    pipe.transformer = type(pipe.transformer).from_config(config).eval()
    eraser = make_eraser(pipe.tokenizer, pipe.text_encoder)
    with unseen.attach(pipe, dataclasses.replace(eraser, mentions=True)) as handle:
        assert handle.status().paraphrases == "on"
        for length in (8, 12, pipe.transformer.config.max_text_seq_length):
            options = {"do_classifier_free_guidance": False, "max_sequence_length": length}
            assert pipe.encode_prompt("an airship near a table", **options)[0].shape[1] == length
