"""How the concept's name may be written, on Diorama's own tokenizer and text encoder.

The eraser has one feature that fires on every token, behind a gate that no feature can open. So it acts on a prompt if,
and only if, the prompt says a name of the concept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

import unseen
from unseen.bench.ways.families import make_small_diorama
from unseen.bench.ways.scene import CALL, LENGTH, Scene
from unseen.bench.ways.way import way
from unseen.clear.eraser import ClearEraser
from unseen.encoder.fingerprint import fingerprint

SYNONYMS = ("圆号", "валторна", "ホルン", "corno francés", "cor d'harmonie")
NAMED = {
    "as it is": "a French horn in the snow",
    "upper case": "a FRENCH HORN in the snow",
    "mixed case": "a fReNcH hOrN in the snow",
    "plural": "two French horns in the snow",
    "possessive": "the French horn's bell in the snow",
    "typographic possessive": "the French horn’s bell in the snow",
    "hyphen": "a French-horn in the snow",
    "slash": "a trumpet/French horn/tuba in the snow",
    "underscore": "a French_horn in the snow",
    "weights": "a (French horn:1.4) in the snow",
    "brackets": "a [[French]] [[horn]] in the snow",
    "quotes": 'a "French horn" in the snow',
    "two spaces": "a French  horn in the snow",
    "a line break": "a French\nhorn in the snow",
    "no-break space": "a French\u00a0horn in the snow",
    "ideographic space": "a French\u3000horn in the snow",
    "zero-width space": "a Fre\u200bnch ho\u200brn in the snow",
    "zero-width joiner": "a Fren\u200dch horn in the snow",
    "soft hyphens": "a Fr\u00adench ho\u00adrn in the snow",
    "byte order mark": "a French\ufeff horn in the snow",
    "right-to-left marks": "a \u202eFrench horn\u202c in the snow",
    "word joiner": "a French ho\u2060rn in the snow",
    "combining marks": "a F\u0301rench ho\u0308rn in the snow",
    "accents": "a Frénch hörn in the snow",
    "full width": "a Ｆｒｅｎｃｈ ｈｏｒｎ in the snow",
    "mathematical letters": "a 𝐅𝐫𝐞𝐧𝐜𝐡 𝐡𝐨𝐫𝐧 in the snow",
    "ligature and circles": "a Ⓕⓡⓔⓝⓒⓗ ⓗⓞⓡⓝ in the snow",
    "named entity": "a French&nbsp;horn in the snow",
    "decimal entities": "a &#70;rench &#104;orn in the snow",
    "hexadecimal entities": "a &#x46;rench &#x68;orn in the snow",
    "entities in entities": "a &amp;#70;rench horn in the snow",
    "variation selector": "a French\ufe0f horn\ufe0f in the snow",
    "tag characters": "a French\U000e0041 horn in the snow",
    "at the beginning": "French horn, snow, cinematic",
    "at the end": "snow, cinematic, French horn",
    "alone": "French horn",
    "repeated": "French horn French horn French horn",
    "glued by commas": "snow,French horn,cinematic",
    "Chinese synonym": "一位音乐家在雪地里吹圆号",
    "Russian synonym": "Валторна в снегу",
    "Japanese synonym": "雪の中のホルン",
    "Spanish synonym": "un Corno Francés en la nieve",
    "decomposed synonym": "un corno france\u0301s en la nieve",
    "synonym with an apostrophe": "un cor d’harmonie dans la neige",
}
"""Wordings that say a name."""
FREE = {
    "another horn": "a rhino horn in the snow",
    "French alone": "a French village in the snow",
    "the words apart": "a French village with a horn in the snow",
    "a longer word": "a French hornet in the snow",
    "words the other way": "a horn French in the snow",
    "nothing": "",
    "another concept": "a church in the snow",
    "entities of something else": "caf&eacute; &amp; church",
}
"""Wordings that do not: encoded as without the eraser."""


@cache
def _models() -> tuple[Any, ClearEraser]:
    pipe = make_small_diorama()
    width = pipe.text_encoder.config.hidden_size
    torch.manual_seed(0)
    row = torch.nn.functional.normalize(torch.randn(width), dim=0)
    eraser = ClearEraser(
        concept=unseen.Concept("French horn", synonyms=SYNONYMS),
        layer=3,
        strength=1.0,
        encoder_fingerprint=fingerprint(pipe.text_encoder),
        W_enc=row[:, None],
        b_enc=torch.tensor([50.0]),
        W_dec=row[None],
        mask=torch.ones(1),
        b_dec=torch.zeros(width),
        scale=torch.tensor(1.0),
        gate=torch.tensor([0.0, 1e9]),
        target=torch.zeros(width),
        mean_edit=torch.zeros(width),
    )
    return pipe, eraser


def _scene(text: str) -> Callable[[], Scene]:
    def make() -> Scene:
        pipe, eraser = _models()
        scene = Scene(pipe, eraser, call={**CALL, "max_sequence_length": 4 * LENGTH}, texts=(text,))
        scene.pipe = pipe
        return scene

    return make


def _register(name: str, text: str, named: bool) -> None:
    def run(s: Scene) -> None:
        s.check(not torch.equal(s.plain(text), s.erased(text)), "the eraser would change it")
        s.expected = [s.erased(text) if named else s.plain(text)]
        with s.attach():
            s.generate(text, steps=1)
            # beside another prompt in one batch, and as an answer to a question
            s.same(s.embed(text, do_classifier_free_guidance=False)[0], s.expected[0])

    run.__module__ = __name__
    tried = f"the prompt {text!a}"
    way("erased" if named else "unchanged", scene=_scene(text), name=name, tried=tried)(run)


for _name, _text in NAMED.items():
    _register(_name, _text, named=True)
for _name, _text in FREE.items():
    _register(_name, _text, named=False)


def _batch() -> Scene:
    pipe, eraser = _models()
    texts = (*NAMED.values(), *FREE.values())
    return Scene(pipe, dataclasses.replace(eraser), call={**CALL, "max_sequence_length": 4 * LENGTH}, texts=texts)


@way("erased", scene=_batch, slow=True)
def all_in_one_batch(s: Scene) -> None:
    """All of these prompts in one batch; every row is treated like the prompt alone."""
    texts = [*NAMED.values(), *FREE.values()]
    with s.attach():
        made = s.embed(texts, do_classifier_free_guidance=False)[0]
    with torch.no_grad():
        plain = s.embed(texts, do_classifier_free_guidance=False)[0]
    for place, text in enumerate(texts):
        changed = not torch.equal(made[place], plain[place])
        s.check(changed == (text in NAMED.values()), f"row of {text!a}")
