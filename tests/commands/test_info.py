from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

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


def test_a_recording_is_described_row_by_row(capsys: pytest.CaptureFixture[str]) -> None:
    clip = Path(__file__).parents[2] / "recipes/demo/clips/slt_1.flac"
    assert cli.run(["info", str(clip)]) == 0
    out, err = capsys.readouterr()
    rows = dict((line[:12].strip(), line[12:]) for line in out.splitlines()[1:])
    assert out.splitlines()[0] == str(clip) and err == ""
    assert (
        rows["format"].startswith("FLAC") and rows["sample rate"] == "16,000 Hz" and rows["channels"] == "1"
    )
    assert rows["duration"].startswith("4.04 s") and rows["as a target"] == "good"
    assert {"noise", "voiced", "pitch", "near peak", "bandwidth", "one voice", "level"} <= set(rows)
    assert cli.run(["info", str(clip), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sample_rate"] == 16000 and told["faults"] == [] and 150 < told["fundamental_hz"] < 190


def test_a_noisy_recording_is_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wav = soundfile.read(Path(__file__).parents[2] / "recipes/demo/clips/rms_1.flac")[0]
    noise = np.random.default_rng(0).standard_normal(len(wav)) * np.sqrt(np.mean(wav**2)) * 10 ** (-5 / 20)
    soundfile.write(tmp_path / "NOISY.WAV", 0.5 * (wav + noise), 16000)
    assert cli.run(["info", str(tmp_path / "NOISY.WAV")]) == 0
    out, err = capsys.readouterr()
    assert "as a target noise or music 5 dB below" in out or "as a target noise or music 6 dB below" in out
    assert err == ""


def test_no_such_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["info", str(tmp_path / "none.wav")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
