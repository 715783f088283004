"""`unseen serve`: what can be typed is checked before anything is served."""

from __future__ import annotations

import pytest
from conftest import make_eraser

from unseen.cli import build_parser, main

pytest.importorskip("fastapi", reason='pip install "unseen[serve]"')
pytest.importorskip("httpx2", reason="starlette's test client needs it")
pytest.importorskip("prometheus_client", reason='pip install "unseen[serve]"')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give at least one --eraser"),
        (["--bare", "--eraser", "x"], "give at least one --eraser"),
        (["--bare", "--on-residual", "warn"], "leave it or --bare out"),
        (["--bare", "--call", "[1]"], "expected --call as a JSON object"),
        (["--eraser", "{eraser}", "--optional", "lemon"], "no eraser for 'lemon'"),
        (["--eraser", "{eraser}", "--optional", "zeppelin", "--keys", "k.json"], "leave --optional out"),
        (["--eraser", "{eraser}", "--keys", "missing.json"], "expected a list"),
        (["--eraser", "nowhere"], "cannot read unseen_eraser"),
        (["--eraser", "{eraser}"], "was fitted on the text encoder"),  # Diorama's is another one
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path, pipe, capsys, arguments, message):
    folder = tmp_path / "zeppelin"
    make_eraser(pipe.tokenizer, pipe.text_encoder).save_pretrained(folder)
    assert main(["serve", *(argument.format(eraser=folder) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--port", "0"], ["--workers", "0"], ["--queue", "many"]])
def test_numbers_that_are_none_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["serve", *arguments])
    assert "is not a" in capsys.readouterr().err


def test_a_model_folder_is_served_with_erasers(tmp_path, pipe):
    from starlette.testclient import TestClient

    from unseen.cli.serve import build

    pipe.save_pretrained(tmp_path / "model")
    make_eraser(pipe.tokenizer, pipe.text_encoder).save_pretrained(tmp_path / "zeppelin")
    call = '{"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2, "max_sequence_length": 16}'
    options = build_parser().parse_args(
        ["serve", "--model", str(tmp_path / "model"), "--eraser", str(tmp_path / "zeppelin"), "--call", call]
    )
    with TestClient(build(options)) as client:
        assert client.get("/health").json()["pipeline"] == "WanPipeline"
        asked = {"prompt": "a red zeppelin near the river", "format": "gif"}
        clip = client.post("/generate", json=asked)
        assert clip.status_code == 200 and clip.headers["X-Unseen-Fired"] == '["zeppelin"]'
