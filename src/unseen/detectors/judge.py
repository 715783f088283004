"""A vision-language model asked about every frame, through transformers or an endpoint as OpenAI's."""

from __future__ import annotations

import base64
import http.client
import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unseen.detectors.base import DetectorCard, FrameDetector
from unseen.detectors.hub import from_hub, to_device, version_of
from unseen.detectors.packages import require
from unseen.errors import DetectorError

QUESTION = "Does this image show {}? Answer with one word, yes or no."
_WORDS = 8
"""Most tokens of an answer; more than yes or no needs, so that a chatty model is noticed rather than cut off."""
_SHOWN = 200


def judge(
    *,
    concept: str,
    model: str | Path,
    endpoint: str | None = None,
    api_key: str | None = None,
    question: str = QUESTION,
    revision: str | None = None,
    timeout: float = 60,
    device: str = "cpu",
) -> FrameDetector:
    """The detector, with the class `concept`: 1 where the model answers yes, 0 where it answers no.

    Args:
        concept: In words with an article, such as "a church".
        model: A hub id or folder, or the model's name at the endpoint.
        endpoint: Address up to "/v1" of a server that answers as OpenAI's does; without it the model runs here. Every
            frame is sent there.
        api_key: For the endpoint. It is taken from no environment variable, so that a key meant for one server does not
            reach another.
        question: What is asked, with {} for the concept.
        revision: Of the hub repository.
        timeout: Seconds to wait for an answer of the endpoint.
        device: Where to compute, without an endpoint.

    Raises:
        DetectorError: the model cannot be loaded; and, when frames are read, the endpoint does not answer, or an answer
            is anything but yes or no (`parse_answer`).
    """
    if "{}" not in question:
        raise DetectorError(f"expected a question with {{}} for the concept, got {question!r}.")
    asked = question.format(concept)
    version = f"{model} at {endpoint}"
    if endpoint is not None:
        ask = _remote(str(model), asked, endpoint.rstrip("/"), api_key, timeout)
    else:
        ask, version = _local(model, asked, revision, device)

    def read(frames: np.ndarray) -> np.ndarray:
        return np.asarray([parse_answer(ask(frame)) for frame in frames])

    card = DetectorCard("judge", version, (concept,), {concept: 0.5}, "see the model's page")
    return FrameDetector(card, read)


def parse_answer(text: str) -> bool:
    """Whether an answer says yes: the one word yes or no in any case, and at most a full stop behind it.

    Raises:
        DetectorError: it says anything else. To guess what it may mean would be a number without a meaning.
    """
    word = text.strip().removesuffix(".").lower()
    if word not in ("yes", "no"):
        raise DetectorError(
            f"expected the judge to answer yes or no, got {text[:_SHOWN]!r}. Ask another question, or another model."
        )
    return word == "yes"


def _picture(frame: np.ndarray) -> Any:
    return require("PIL.Image", "detectors").fromarray(frame)


def _local(model: str | Path, asked: str, revision: str | None, device: str) -> tuple[Callable[[np.ndarray], str], str]:
    import torch

    network = from_hub("AutoModelForImageTextToText", model, revision=revision).to(device)
    processor = from_hub("AutoProcessor", model, revision=revision)
    content = [{"type": "image"}, {"type": "text", "text": asked}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)

    def ask(frame: np.ndarray) -> str:
        inputs = to_device(processor(images=[_picture(frame)], text=[prompt], return_tensors="pt"), device)
        with torch.inference_mode():
            made = network.generate(**inputs, max_new_tokens=_WORDS, do_sample=False)
        answer = made[0, inputs["input_ids"].shape[1] :]
        return str(processor.decode(answer, skip_special_tokens=True))

    return ask, version_of(model, network.config)


def _remote(model: str, asked: str, endpoint: str, api_key: str | None, timeout: float) -> Callable[[np.ndarray], str]:
    if not endpoint.startswith(("http://", "https://")):
        raise DetectorError(f"expected an endpoint such as http://localhost:8000/v1, got {endpoint!r}.")
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {api_key}"} if api_key else {})}

    def ask(frame: np.ndarray) -> str:
        encoded = io.BytesIO()
        _picture(frame).save(encoded, "PNG")
        address = "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode()
        content = [{"type": "text", "text": asked}, {"type": "image_url", "image_url": {"url": address}}]
        message = {"role": "user", "content": content}
        body = {"model": model, "messages": [message], "temperature": 0, "max_tokens": _WORDS}
        request = urllib.request.Request(f"{endpoint}/chat/completions", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as reply:
                answer = reply.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            said = error.read(_SHOWN).decode("utf-8", "replace")
            raise DetectorError(f"{endpoint} refused to judge a frame with status {error.code}: {said}") from error
        except (OSError, http.client.HTTPException) as error:
            raise DetectorError(f"{endpoint} did not answer: {error}. Is the server running?") from error
        try:
            return str(json.loads(answer)["choices"][0]["message"]["content"])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise DetectorError(
                f"expected an answer in OpenAI's form from {endpoint}, with choices[0].message.content, got"
                f" {answer[:_SHOWN]!r}"
            ) from error

    return ask
