"""A pipeline behind HTTP: every request gets the erasers of its key and its own, or an answer that says why not."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import unseen
from unseen.errors import ServeError
from unseen.integrations.serving.policy import everybody, read_customers
from unseen.integrations.serving.service import Limits, Service

pytest.importorskip("fastapi", reason='pip install "unseen[serve]"')
pytest.importorskip("httpx2", reason="starlette's test client needs it")
pytest.importorskip("prometheus_client", reason='pip install "unseen[serve]"')

TARGET, OTHER, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river", "a lemon on the table"
CALL = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2, "max_sequence_length": 16}
KEYS = {"studio": "studio-key-0123456789", "school": "school-key-0123456789"}


@pytest.fixture(scope="module")
def models():
    from conftest import make_eraser, make_pipe

    pipe = make_pipe()
    return pipe, [make_eraser(pipe.tokenizer, pipe.text_encoder, word=word) for word in ("zeppelin", "wolf")]


@torch.no_grad()
def embed(pipe, prompt):
    return pipe.encode_prompt(prompt, max_sequence_length=16, do_classifier_free_guidance=False)[0]


def body_of(response):
    from safetensors.torch import load

    return load(response.content)["prompt_embeds"]


@pytest.fixture
def client_of(models, tmp_path):
    from contextlib import ExitStack

    from starlette.testclient import TestClient

    from unseen.integrations.serving.web import build_app

    with ExitStack() as stack:

        def start(customers=None, limits=None, erasers=models[1], **options):
            service = Service(models[0], erasers, call=CALL, limits=limits, **options)
            app = build_app(service, customers or everybody(erasers))
            return stack.enter_context(TestClient(app, raise_server_exceptions=False)), service

        yield start


def encode(client, *prompts, key=None, **more):
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    asked = {"prompts": list(prompts), "max_sequence_length": 16, **more}
    return client.post("/encode", json=asked, headers=headers)


def test_what_comes_out_is_what_the_pipeline_gives_with_erasers(models, client_of, tmp_path):
    pipe, erasers = models
    plain = [embed(pipe, prompt) for prompt in (TARGET, UNRELATED)]
    client, _ = client_of(audit=tmp_path / "audit.jsonl")
    erased = embed(pipe, TARGET)
    response = encode(client, TARGET)
    assert response.status_code == 200 and torch.equal(body_of(response), erased)
    assert not torch.equal(erased, plain[0])
    assert json.loads(response.headers["X-Unseen-Fired"]) == ["zeppelin"]
    assert response.headers["X-Unseen-Erasers"] == ",".join(sorted(e.key for e in erasers))
    assert torch.equal(body_of(encode(client, UNRELATED)), plain[1])
    asked = {"prompt": TARGET, "seed": 3, "format": "npy"}
    clip = client.post("/generate", json=asked)
    frames = pipe(TARGET, generator=torch.Generator().manual_seed(3), output_type="np", **CALL).frames[0]
    expected = (frames * 255).round().clip(0, 255).astype(np.uint8)
    assert clip.status_code == 200 and np.array_equal(np.load(io.BytesIO(clip.content)), expected)
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text(encoding="utf-8").splitlines()]
    requests = {line["request_id"]: line for line in lines if "request_id" in line}
    for answer in (response, clip):
        line = requests[answer.headers["X-Request-Id"]]
        assert line["fired"][0]["concept"] == "zeppelin"
        assert line["prompt_sha256"] == hashlib.sha256(TARGET.encode()).hexdigest()
        assert line["request_id"].startswith("everybody:")


@pytest.mark.parametrize(("kind", "starts"), [("gif", b"GIF89a"), ("mp4", b"\0\0\0")])
def test_clips_come_as_files(client_of, kind, starts):
    client, _ = client_of()
    clip = client.post("/generate", json={"prompt": UNRELATED, "format": kind, "fps": 16})
    assert clip.status_code == 200 and clip.content.startswith(starts)
    assert clip.headers["content-type"] == {"gif": "image/gif", "mp4": "video/mp4"}[kind]


def test_embeddings_carry_their_proof_to_the_client(models, client_of, tmp_path):
    from unseen.runtime.context import proofs

    client, service = client_of()
    (tmp_path / "made.safetensors").write_bytes(encode(client, TARGET, negative_prompt="blurry").content)
    proofs.LEDGER._known.clear()  # what another process knows
    made = unseen.Embeddings.load(tmp_path / "made.safetensors")
    assert (
        set(made) == {"prompt_embeds", "negative_prompt_embeds"}
        and made.proof.keys == service.handle._erasers.wanted().keys
    )
    models[0](**made, output_type="latent", **CALL)


def test_each_key_has_its_erasers_and_may_ask_for_more_but_not_for_less(models, client_of, tmp_path):
    pipe, erasers = models
    plain = [embed(pipe, prompt) for prompt in (TARGET, OTHER)]
    file = tmp_path / "keys.json"
    entries = [
        {"name": "studio", "key": KEYS["studio"], "erasers": {"zeppelin": 1.5}},
        {
            "name": "school",
            "key_sha256": hashlib.sha256(KEYS["school"].encode()).hexdigest(),
            "erasers": {"wolf": None},
        },
    ]
    file.write_text(json.dumps(entries), encoding="utf-8")
    client, service = client_of(read_customers(file, erasers))
    with service.handle.using({"zeppelin": 1.5}):
        studio = embed(pipe, TARGET)
    with service.handle.using({"zeppelin": 2.0, "wolf": 1.0}):
        more = [embed(pipe, prompt) for prompt in (TARGET, OTHER)]
    assert torch.equal(body_of(encode(client, TARGET, key=KEYS["studio"])), studio)
    assert torch.equal(body_of(encode(client, OTHER, key=KEYS["studio"])), plain[1])
    assert torch.equal(body_of(encode(client, TARGET, key=KEYS["school"])), plain[0])
    asked = {"zeppelin": 2.0, "wolf": None}
    for prompt, expected in zip((TARGET, OTHER), more, strict=True):
        assert torch.equal(body_of(encode(client, prompt, key=KEYS["studio"], erasers=asked)), expected)
    assert torch.equal(body_of(encode(client, TARGET, key=KEYS["studio"], erasers={"zeppelin": None})), studio)
    for weaker in (0, 1.0, -1):
        refused = encode(client, TARGET, key=KEYS["studio"], erasers={"zeppelin": weaker})
        assert refused.status_code == 403 and "at 1.5 or more" in refused.json()["detail"]
    assert encode(client, TARGET, key=KEYS["studio"], erasers={"lemon": 1}).status_code == 422
    for key in (None, "", "nobody", KEYS["studio"] + "x"):
        assert encode(client, TARGET, key=key).status_code == 401
    assert client.get("/erasers", headers={"Authorization": f"Bearer {KEYS['school']}"}).json()["always"] == {
        "wolf": None
    }


def test_optional_erasers_act_where_they_are_asked_for(models, client_of):
    pipe, erasers = models
    plain = embed(pipe, OTHER)
    client, _ = client_of(everybody(erasers, optional=["wolf"]))
    erased = embed(pipe, OTHER)
    assert torch.equal(body_of(encode(client, OTHER)), plain)
    assert torch.equal(body_of(encode(client, OTHER, erasers={"wolf": None})), erased)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"prompts": [TARGET], "eraser": {"zeppelin": 0}}, 422),  # a misspelt field is not overlooked
        ({"prompts": []}, 422),
        ({"prompts": ["x"] * 17}, 422),
        ({"prompts": ["x" * 4001]}, 422),
        ({"prompts": [TARGET], "erasers": {"zeppelin": -1}}, 403),
    ],
)
def test_requests_that_mean_nothing_are_refused(client_of, asked, status):
    client, _ = client_of()
    assert client.post("/encode", json=asked).status_code == status


def test_what_the_pipeline_or_the_limits_refuse_is_said(client_of):
    client, _ = client_of()
    refused = client.post("/generate", json={"prompt": TARGET, "height": 33, "width": 32})
    assert refused.status_code == 422 and "divisible by" in refused.json()["detail"]
    refused = client.post("/generate", json={"prompt": TARGET, "height": 4096, "width": 4096})
    assert refused.status_code == 422 and "pixels" in refused.json()["detail"]


def test_a_server_whose_erasers_are_gone_serves_nothing(client_of):
    client, service = client_of()
    assert client.get("/health").json()["status"] == "ok"
    service.handle.detach()
    health = client.get("/health")
    assert health.status_code == 503 and health.json()["status"] == "unhealthy"
    assert encode(client, TARGET).status_code == 422
    assert "unseen_healthy 0.0" in client.get("/metrics").text


def test_metrics_count_requests_prompts_and_what_fired(client_of):
    client, _ = client_of()
    encode(client, TARGET, UNRELATED)
    encode(client, UNRELATED, erasers={"lemon": 1})
    text = client.get("/metrics").text
    for line in (
        'unseen_requests_total{route="/encode",status="200"} 1.0',
        'unseen_requests_total{route="/encode",status="422"} 1.0',
        "unseen_prompts_total 2.0",
        'unseen_fired_total{concept="zeppelin"} 1.0',
        "unseen_admitted 0.0",
        "unseen_healthy 1.0",
    ):
        assert line in text.splitlines(), line


def test_a_full_queue_sends_away_at_once_and_nothing_is_lost(models):
    pipe, erasers = models
    service = Service(pipe, erasers, call=CALL, limits=Limits(workers=1, queue=2))
    hold, begun = threading.Event(), threading.Event()

    def slow(prompts, **options):
        begun.set()
        hold.wait(30)
        return real(prompts, **options)

    real, service.handle.encode = service.handle.encode, slow
    futures = [service.encode([TARGET], {"zeppelin": None}, "r0", max_sequence_length=16)]
    assert begun.wait(30)
    futures += [service.encode([TARGET], {"zeppelin": None}, f"r{n}", max_sequence_length=16) for n in (1, 2)]
    began = time.monotonic()
    with pytest.raises(ServeError, match="3 requests run or wait") as refused:
        service.encode([TARGET], {}, "r3")
    assert refused.value.status == 503 and time.monotonic() - began < 1
    hold.set()
    assert [future.result(60).fired for future in futures] == [["zeppelin"]] * 3
    assert service.admitted == 0
    service.close()
    with pytest.raises(ServeError, match="is closing"):
        service.encode([TARGET], {}, "r4")


def test_a_request_that_waited_too_long_is_not_begun(models):
    service = Service(*models, call=CALL, limits=Limits(patience=-1))
    with pytest.raises(ServeError, match="waited for more than"):
        service.encode([TARGET], {}, "r0").result(60)
    service.close()


def test_what_no_eraser_saw_is_not_given_out(models):
    """Somebody's cache that answers in place of the text encoder's pipeline."""
    service = Service(*models, call=CALL)
    service.handle.encode = lambda prompts, **options: "from a cache"
    with pytest.raises(ServeError, match="did not see this request's prompt"):
        service.encode([TARGET], {"zeppelin": None}, "r0").result(60)
    service.close()


def test_four_clients_with_choices_of_their_own(models, client_of):
    pipe, erasers = models
    plain = {prompt: embed(pipe, prompt) for prompt in (TARGET, OTHER)}
    client, _ = client_of(everybody(erasers, optional=["zeppelin", "wolf"]), limits=Limits(workers=4))
    erased = {prompt: embed(pipe, prompt) for prompt in (TARGET, OTHER)}

    def wrong(number):
        asked = [{"zeppelin": None}, {"wolf": None}, {"zeppelin": None, "wolf": None}, {}][number % 4]
        mixed = 0
        for name, prompt in (("zeppelin", TARGET), ("wolf", OTHER)):
            expected = erased[prompt] if name in asked else plain[prompt]
            mixed += not torch.equal(body_of(encode(client, prompt, erasers=asked)), expected)
        return mixed

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(wrong, range(16))) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected a list"),
        ("[]", "one or more customers"),
        ('[{"name": "a", "key": "short", "erasers": {}}]', "fewer than 16"),
        ('[{"name": "a", "key": "0123456789abcdef", "erasers": {"lemon": null}}]', "no eraser for 'lemon'"),
        ('[{"name": "a", "key": "0123456789abcdef", "erasers": {"wolf": 0}}]', "no number above 0"),
        ('[{"name": "a", "key_sha256": "12", "erasers": {}}]', "64 hexadecimal digits"),
        ('[{"name": "a", "key": "0123456789abcdef"}]', "KeyError"),
    ],
)
def test_a_file_of_keys_that_cannot_be_meant_is_refused(models, tmp_path, content, message):
    (tmp_path / "keys.json").write_text(content, encoding="utf-8")
    with pytest.raises(ServeError, match=message):
        read_customers(tmp_path / "keys.json", models[1])
