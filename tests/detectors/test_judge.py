"""The vision-language judge: a tiny real model in a folder, and a real server that answers as OpenAI's does."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from unseen.detectors import load_detector
from unseen.detectors.judge import QUESTION, parse_answer
from unseen.errors import DetectorError

WHITE, BLACK = np.full((24, 32, 3), 255, np.uint8), np.zeros((24, 32, 3), np.uint8)
FRAMES = np.stack([WHITE, BLACK, BLACK, WHITE])


@pytest.mark.parametrize(
    ("text", "says"), [("yes", True), ("No", False), (" YES.\n", True), ("no.", False), ("Yes", True)]
)
def test_yes_and_no_are_understood(text, says):
    assert parse_answer(text) is says


@pytest.mark.parametrize("text", ["", "yes, it does", "maybe", "Yes!", "not sure", "yes no", "1", "yes..", "nope"])
def test_anything_else_is_an_error_that_says_what_came(text):
    with pytest.raises(DetectorError, match="to answer yes or no, got ") as refusal:
        parse_answer(text)
    assert repr(text) in str(refusal.value)


class Server(BaseHTTPRequestHandler):
    """Says yes to pictures that are more than half bright, or what it was told to say."""

    seen: list[Any]
    said: bytes | None
    status: int

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, self.headers["Authorization"], body))
        address = body["messages"][0]["content"][1]["image_url"]["url"]
        picture = Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,"))))
        word = "Yes." if np.asarray(picture).mean() > 127 else "no"
        answer = json.dumps({"choices": [{"message": {"role": "assistant", "content": word}}]}).encode()
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(answer if self.said is None else self.said)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[type[Server], str]]:
    handler = type("Fresh", (Server,), {"seen": [], "said": None, "status": 200})
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield handler, f"http://127.0.0.1:{listening.server_port}/v1"
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_an_endpoint_is_asked_about_every_frame(server):
    handler, address = server
    detector = load_detector("judge", concept="a lamp", model="tiny", endpoint=address + "/", api_key="sesame")
    assert detector(FRAMES)[:, 0].tolist() == [1, 0, 0, 1]
    path, key, body = handler.seen[0]
    assert (len(handler.seen), path, key) == (4, "/v1/chat/completions", "Bearer sesame")
    assert (body["model"], body["temperature"]) == ("tiny", 0)
    assert body["messages"][0]["content"][0]["text"] == QUESTION.format("a lamp")
    assert detector.card.version == f"tiny at {address}/" and "sesame" not in repr(detector.card)


def test_no_key_is_sent_unless_it_is_given(server, monkeypatch):
    handler, address = server
    monkeypatch.setenv("OPENAI_API_KEY", "meant for somebody else")
    load_detector("judge", concept="a lamp", model="tiny", endpoint=address)(FRAMES[:1])
    assert handler.seen[0][1] is None


@pytest.mark.parametrize(
    ("status", "said", "message"),
    [
        (200, b'{"choices": [{"message": {"content": "I cannot tell."}}]}', "yes or no, got 'I cannot tell.'"),
        (200, b'{"choices": []}', "with choices.0..message.content, got"),
        (200, b"<html>hello</html>", "got '<html>hello</html>'"),
        (200, b'{"choices": [{"message": {"content": null}}]}', "got 'None'"),
        (429, b"slow down", "with status 429: slow down"),
    ],
)
def test_other_answers_of_an_endpoint_are_errors(server, status, said, message):
    handler, address = server
    handler.said, handler.status = said, status
    with pytest.raises(DetectorError, match=message):
        load_detector("judge", concept="a lamp", model="tiny", endpoint=address)(FRAMES)


def test_an_endpoint_that_is_not_there_is_named():
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(DetectorError, match=r"did not answer: .*Is the server running"):
        load_detector("judge", concept="a lamp", model="tiny", endpoint=nobody)(FRAMES[:1])
    with pytest.raises(DetectorError, match="expected an endpoint such as http://"):
        load_detector("judge", concept="a lamp", model="tiny", endpoint="localhost:8000")


def tiny_llava(folder: Path, *, steps: int) -> Path:
    """A Llava of two thousand weights that has learnt in `steps` to say yes to white and no to black pictures."""
    torch.manual_seed(0)
    words = ["<pad>", "<s>", "</s>", "<unk>", "<image>", *"USER : Does this image show a lamp ? yes no ANSWER".split()]
    inner = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **special)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    part = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    network = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**part, num_hidden_layers=2, image_size=32, patch_size=16),
            text_config=LlamaConfig(
                **part, num_hidden_layers=1, num_key_value_heads=2, vocab_size=len(words), pad_token_id=0,
                bos_token_id=1, eos_token_id=2,
            ),
            image_token_index=words.index("<image>"),
        )
    )  # fmt: skip
    template = (
        "{% for message in messages %}USER : {% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %}{% endfor %} ANSWER"
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    asked = f"USER : <image> {QUESTION.format('a lamp')} ANSWER"
    texts = [f"{asked} yes </s>", f"{asked} no </s>"]
    batch = processor(images=[Image.fromarray(WHITE), Image.fromarray(BLACK)], text=texts, return_tensors="pt")
    batch.pop("token_type_ids", None)
    labels = batch["input_ids"].clone()
    labels[:, :-2] = -100
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        loss = network(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_a_model_in_a_folder_is_asked_about_every_frame(tmp_path):
    detector = load_detector("judge", concept="a lamp", model=tiny_llava(tmp_path, steps=40))
    assert detector(FRAMES)[:, 0].tolist() == [1, 0, 0, 1]


def test_a_model_that_says_something_else_is_an_error(tmp_path):
    detector = load_detector("judge", concept="a lamp", model=tiny_llava(tmp_path, steps=0))
    with pytest.raises(DetectorError, match="expected the judge to answer yes or no, got"):
        detector(FRAMES)
