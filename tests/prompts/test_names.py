"""Names are found as they are said: in any script and normal form, and as words of their own."""

from __future__ import annotations

import pytest

from unseen.concept import Concept, named_concepts
from unseen.names import NameMatcher, file_name

HORN = Concept("French horn", synonyms=("圆号", "Waldhorn", "คอร์เน็ต", "валторна", "호른", "ホルン", "بوق", "🎺"))


@pytest.mark.parametrize(
    "prompt",
    [
        "一位音乐家在雪地里吹圆号",
        "圆 号",
        "雪の中のホルン奏者",
        "ﾎﾙﾝ",
        "นักดนตรีเป่าคอร์เน็ตในหิมะ",
        "눈 속의 호른을 부는 사람",
        "عازف البوق في الثلج",
        "Ва́лторна на снегу",
        "a 🎺 in the snow",
        "A FRENCH HORN",
        "ｆｒｅｎｃｈ　ｈｏｒｎ",
        "𝐅𝐫𝐞𝐧𝐜𝐡 𝐡𝐨𝐫𝐧",
        "a French-horn",
        "a French\u2011horn",
        "a french  horn",
        "a french_horn",
        "a French\nhorn",
        "French\u00a0horn",
        "#FrenchHorn",
        "(French horn:1.3)",
        "(French)++ horn",
        "Fre\u200bnch ho\u00adrn",
        "French\u200bhorn",
        "Frenc\ufe0fh horn\U000e0041",
        "Fŕéñch hörn",
        "Fre\u0301nch horn",
        "F̶r̶e̶n̶c̶h̶ ̶h̶o̶r̶n̶",
        "the French horn's bell",
        "the French horn’s bell",
        "two French horns",
        "French horn™",
        "FRENCH HORN2",
        "ein Waldhorn, silbern",
    ],
)
def test_a_literal_name_is_found_in_any_script_and_normal_form(prompt: str) -> None:
    """Case 21: a name opens the gate however it is encoded, and between letters that no spaces set apart."""
    assert HORN.is_named_in(prompt)


@pytest.mark.parametrize(
    "prompt",
    ["a French window", "a brass horn", "Thorn French", "圆形的号角", "a Frenchhornist", "Altwaldhornist", "", "!?"],
)
def test_a_name_is_not_found_in_part_or_inside_a_word(prompt: str) -> None:
    assert not HORN.is_named_in(prompt)


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("violin", "VİOLİN"),
        ("violin", "vıolın"),
        ("church", "two churches"),
        ("wolf", "wolves"),
        ("lady", "ladies"),
        ("snowman", "three snowmen"),
        ("bottle of wine", "bottles of wine"),
        ("AC/DC", "an ac-dc concert"),
        ("AC/DC", "ACDC"),
        ("Beyoncé", "Beyonce"),
        ("Straße", "STRASSE"),
        ("Εκκλησία", "ΕΚΚΛΗΣΙΑ"),
        ("Å", "a Å b"),
        ("!!!", "the band !!! on stage"),
        ("घोड़ा", "बर्फ़ में घोड़ा"),
    ],
)
def test_endings_accents_and_signs_do_not_hide_a_name(name: str, prompt: str) -> None:
    """Case 21."""
    assert Concept(name).is_named_in(prompt)


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("horn", "ein Nashorn"),
        ("horn", "ein Hornhaus"),
        ("й", "и"),
        ("Boeing 747", "Boeing 7470"),
        ("घोड़", "घोड़ा"),
        ("cat", "concat"),
    ],
)
def test_a_longer_word_or_another_letter_is_not_the_name(name: str, prompt: str) -> None:
    assert not Concept(name).is_named_in(prompt)


def test_many_concepts_are_looked_for_in_one_pass_and_each_alone_finds_the_same() -> None:
    concepts = [
        HORN,
        Concept("church", synonyms=("教堂",)),
        Concept("horn"),
        *(Concept(f"thing {n}") for n in range(97)),
    ]
    matcher = NameMatcher(concepts)
    for prompt, named in {
        "a French horn in a church": {0, 1, 2},
        "教堂里的圆号": {0, 1},
        "thing 12 beside thing 9": {3 + 12, 3 + 9},
        "nothing of them": set(),
    }.items():
        assert matcher.named_in(prompt) == named
        assert named == {index for index, concept in enumerate(concepts) if concept.is_named_in(prompt)}
    assert named_concepts("a church", concepts) == [concepts[1]]
    assert named_concepts("a church", []) == []


ODD = [
    "AC/DC",
    "..",
    ".",
    "/",
    "con",
    "LPT1",
    "a:b",
    "圆号",
    "घोड़ा",
    "C++",
    "C",
    "x" * 500,
    "圆" * 500,
    "\udc80",
    "a\0c",
    "ends.",
    "-",
]


def test_a_name_makes_a_folder_that_is_valid_everywhere() -> None:
    """Case 27: a concept's name is no path."""
    assert [file_name(name) for name in ("French horn", "AC/DC", "a:b", "圆号")] == [
        "french-horn",
        "ac-dc",
        "a-b",
        "圆号",
    ]
    made = [file_name(name) for name in ODD]
    assert len(set(made)) == len(ODD)
    for name in made:
        assert name and len(name.encode()) < 200 and not set('/\\:*?"<>|.\0 ') & set(name), name
        assert name.lower() not in ("con", "lpt1") and name == name.strip("-")
