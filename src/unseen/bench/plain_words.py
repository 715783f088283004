"""A demo's outcome in plain words: a title by verdict, and a paragraph that can be forwarded as it is."""

from __future__ import annotations

from collections.abc import Mapping

from unseen.bench.views.tables import Estimate, percent

SHOWN_AT_ALL = 0.3
"""Below this rate before, there is too little to erase."""
GONE = 0.1
"""Up to this rate, if the whole interval stays below it, a concept counts as erased."""
EMBEDDED = (
    "This is about Diorama, the small model that comes with the library: 96 × 96 pixels, nine frames, cartoon subjects."
    " It shows how the method works. It does not show how well it works on your model; for that, fit an eraser there, "
    "generate, and look."
)
GLOSSARY = (
    ("concept", "what should no longer appear: an object, a style, a person, an attribute"),
    ("eraser", "a small file that takes the concept out of what the model reads in a prompt; it changes no weights"),
    ("before, after", "the same prompt from the same noise, without and with the eraser"),
    ("shown in 40 % of frames", "a detector finds it in 40 of 100 frames; detectors err, so look at the clips too"),
    ("[6.0, 10.3]", "the true rate lies in this interval with 95 % certainty; more clips make it shorter"),
    ("detector floor", "how often the detector claims to see the concept where it is not"),
    ("neighbours", "what looks like the concept or shares a word with its name, and has to stay"),
    ("bit-identical", "the model is given exactly what it is given without an eraser, so its clip is the same"),
)


def outcome(before: Estimate, after: Estimate) -> str:
    """One of "erased", "probably erased", "mostly erased", "partly erased", "not erased" and "not to be judged"."""
    if before.value < SHOWN_AT_ALL or before.value != before.value or after.value != after.value:
        return "not to be judged"
    if after.value <= GONE:
        return "erased" if after.high <= GONE else "probably erased"
    left = after.value / before.value
    return "mostly erased" if left <= 0.25 else "partly erased" if left <= 0.75 else "not erased"


def title(name: str, before: Estimate, after: Estimate) -> str:
    """ "French horn: erased (99.1 → 0 % of frames)"."""
    start = percent(before.value).removesuffix(" %")
    return f"{name}: {outcome(before, after)} ({start} → {percent(after.value)} of frames)"


_MEANS = {
    "erased": "The concept is gone from these clips.",
    "probably erased": "The concept seems gone, but so few clips leave room for doubt.",
    "mostly erased": "Most of the concept is gone, not all of it: do not rely on this eraser.",
    "partly erased": "Much of the concept is still there: do not rely on this eraser.",
    "not erased": "The eraser does not do its work.",
    "not to be judged": "The model shows the concept too rarely to say whether the eraser works.",
}


def paragraph(name: str, clips: int, before: Estimate, after: Estimate, kept: Mapping[str, Estimate | None]) -> str:
    """What came out: how often the concept is shown, what that means, and how much of other things is kept.

    `kept` has, by what is to stay ("neighbours"), its rate after as a share of that before.
    """
    sentences = [
        f"Without the eraser the model shows “{name}” in {percent(before.value)} of frames, with it in"
        f" {percent(after.value)} ({clips} clips each, same prompts, same noise).",
        _MEANS[outcome(before, after)],
    ]
    stays = [f"{what} keep {percent(share.value)} of what they showed" for what, share in kept.items() if share]
    if stays:
        text = ", and ".join(stays)
        sentences.append(f"{text[0].upper()}{text[1:]}.")
    return " ".join(sentences)
