"""`unseen app` at the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from unseen.cli import build_parser, main


def test_it_is_served_on_this_machine_with_the_embedded_model_unless_told_otherwise() -> None:
    options = build_parser().parse_args(["app"])
    assert (options.host, options.port, options.model) == ("127.0.0.1", 7860, "wan")
    assert options.open and not build_parser().parse_args(["app", "--no-open"]).open


def test_without_gradio_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)  # what Python itself does with a package that must not be found
    assert main(["app", "--no-open"]) == 2
    said = capsys.readouterr().err.strip()
    assert 'pip install "unseen[app]"' in said and "\n" not in said


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["app", "--port", port])
    assert "1 to 65535" in capsys.readouterr().err


def test_a_missing_folder_of_erasers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gradio", reason="the page needs gradio: pip install 'unseen[app]'")
    assert main(["app", "--no-open", "--erasers", str(tmp_path / "none")]) == 2
    assert "There is no folder" in capsys.readouterr().err
