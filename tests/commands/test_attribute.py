from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import voiceae
from tests.commands.conftest import Run
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio
from voiceae.latent.speakers.attributes import Attribute


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Three speakers of either side; those of `m` are low."""
    rng, rows = np.random.default_rng(0), ["speaker,gender,age"]
    time = np.arange(12000) / 16000
    for number in range(6):
        fundamental = (120 if number % 2 else 240) * (1 + 0.02 * rng.standard_normal())
        wave = sum(np.sin(2 * np.pi * fundamental * k * time) / k for k in range(1, 9))
        wave = (0.1 * wave + 0.003 * rng.standard_normal(12000)).astype(np.float32)
        audio_io.write(tmp_path / f"corpus/s{number}/1.wav", Audio(wave, 16000))
        rows.append(f"s{number},{'m' if number % 2 else 'f'},{5 * number}")
    (tmp_path / "corpus/speakers.csv").write_text("\n".join(rows))
    return tmp_path / "corpus/speakers.csv"


def test_fit_and_add(run: Run, tiny_model: Path, labels: Path) -> None:
    fit = ["attribute", "fit", "--labels", labels, "--model", tiny_model]
    assert run(*fit, "--column", "gender", "--out", "gender.json") == (0, "")
    fitted = Attribute.read("gender.json")
    assert (fitted.negative, fitted.positive, fitted.held_out.pitch_accuracy) == ("f", "m", 1.0)
    assert fitted.octaves == pytest.approx(-1, abs=0.1)
    assert run(*fit, "--column", "age", "--at", 12, "--out", "age.json") == (0, "")
    assert Attribute.read("age.json").positive == "12 and above"

    a, b = labels.parent / "s0/1.wav", labels.parent / "s2/1.wav"
    convert = ["convert", a, "--target", b, "--model", tiny_model, "--vocoder", "griffinlim"]
    assert run(*convert, "--add", "gender.json:+0.5", "--out", "o.wav") == (0, "")
    voice = voiceae.load(tiny_model, "griffinlim", "cpu")
    expected = voice.convert(a, fitted.move(voice.profile(b), 0.5)).wav
    np.testing.assert_allclose(audio_io.load("o.wav", voice.spec.sample_rate).wav, expected, atol=2e-4)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--column", "gendr"], "no column gendr; did you mean gender?"),
        (["--column", "age"], "6 values"),
        (["--column", "gender", "--positive", "x"], "no such value"),
        (["--column", "gender", "--recordings", "none"], "none: no such file or folder"),
        (["--column", "gender", "--clips", "1", "--at", "3"], "--at splits numbers"),
    ],
)
def test_bad_input_is_one_line(
    run: Run, tiny_model: Path, labels: Path, options: list[str], reason: str
) -> None:
    code, said = run(
        "attribute", "fit", "--labels", labels, "--model", tiny_model, "--out", "x.json", *options
    )
    assert code == 1 and reason in said and said.count("\n") == 0 and not Path("x.json").exists()


def test_an_attribute_of_another_model_is_refused(run: Run, tiny_model: Path, labels: Path) -> None:
    run(
        "attribute", "fit", "--labels", labels, "--column", "gender", "--model", tiny_model, "--out", "g.json"
    )
    Path("g.json").write_text(json.dumps(json.loads(Path("g.json").read_text()) | {"model": "f00d"}))
    a = labels.parent / "s0/1.wav"
    code, said = run(
        "convert", a, "--target", a, "--add", "g.json:1", "--model", tiny_model, "--out", "o.wav"
    )
    assert code == 1 and "g.json: was made with model f00d" in said
