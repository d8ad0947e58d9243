from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny import SPEC, write_model
from voiceae import cli


def test_for_people_and_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    provenance = {"corpus": "two speakers", "metrics": {"loss": 0.25}, "card": "x" * 500}
    path = write_model(tmp_path / "m ö.safetensors", extra=provenance)
    assert cli.run(["info", str(path)]) == 0
    text = capsys.readouterr().out
    for wanted in (
        "autoencoder",
        "voiceae.models.SpeakerEncoder(",
        SPEC.fingerprint,
        "hop_length",
        "two speakers",
        "0.25",
    ):
        assert wanted in text
    assert max(map(len, text.splitlines())) < 200
    assert cli.run(["info", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["extra"] == provenance and told["fingerprint"] == SPEC.fingerprint
    assert told["parameters"] > 1000 and told["description"]["_target_"] == "voiceae.models.Autoencoder"


def test_bad_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.safetensors").write_text("no model")
    for argument, reason in (
        ("nobody", "no such model"),
        (tmp_path / "text.safetensors", "not a safetensors file"),
    ):
        assert cli.run(["info", str(argument)]) == 1
        said = capsys.readouterr().err
        assert said.startswith("voiceae: error: ") and reason in said and said.count("\n") == 1


def test_what_a_file_says_does_nothing_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"corpus": "\x1b]0;owned\x07\x1b[2J", "two\nlines": "a\rb\u202e", "broken": "\udce9"}
    path = write_model(tmp_path / "m.safetensors", extra=said)
    assert cli.run(["info", str(path)]) == 0
    text = capsys.readouterr().out
    assert text.replace("\n", "").isprintable()
    assert r"\x1b]0;owned\x07\x1b[2J" in text and r"a\x0db\u202e" in text and r"\xe9" in text
    assert cli.run(["info", str(tmp_path / "no\x1b[2J.safetensors")]) == 1
    assert capsys.readouterr().err.replace("\n", "").isprintable()
