from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import voiceae
from tests.commands.conftest import Run
from voiceae.io import audio as audio_io


@pytest.fixture
def mix(run: Run, tiny_model: Path) -> Run:
    return lambda *arguments: run("mix", "--model", tiny_model, "--vocoder", "griffinlim", *arguments)


def test_a_voice_between_by_its_weights(mix: Run, clips: Path, tiny_model: Path) -> None:
    a, b = clips / "anna/1.wav", clips / "bert ö/1.wav"
    assert mix(a, "--speaker", f"{a}:3", "--speaker", f"{b}:1", "--out", "m.wav") == (0, "")
    voice = voiceae.load(tiny_model, "griffinlim", "cpu")
    expected = voice.convert(a, voice.mix([a, b], [0.75, 0.25])).wav
    np.testing.assert_allclose(audio_io.load("m.wav", voice.spec.sample_rate).wav, expected, atol=2e-4)


def test_a_way_with_its_picture_and_figures(mix: Run, clips: Path) -> None:
    a, b = clips / "anna/1.wav", clips / "bert ö/1.wav"
    assert mix(a, "--speaker", a, "--speaker", b, "--slerp", "--steps", 3, "--out", "way.wav") == (0, "")
    assert sorted(path.name for path in Path().glob("way*")) == [
        *("way-1.wav", "way-2.wav", "way-3.wav", "way.json", "way.png", "way.wav")
    ]
    way = json.loads(Path("way.json").read_text())["path"]
    assert [point["share"] for point in way] == [0, 0.5, 1]
    assert way[0]["requested_first"] == pytest.approx(1) and way[2]["requested_second"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("speakers", "reason"),
    [
        (["a.wav:0.5", "b.wav:-0.5"], "the weights sum to 0"),
        (["a.wav:0.5", "b.wav"], "b.wav: has no weight"),
        (["a.wav:0,5"], "'0,5' is no number"),
        (["nobody"], "nobody: no such file, and no such speaker"),
    ],
)
def test_bad_weights_and_names_are_one_line(
    mix: Run, clips: Path, monkeypatch: pytest.MonkeyPatch, speakers: list[str], reason: str
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    given = [part for each in speakers for part in ("--speaker", each)]
    code, said = mix(clips / "anna/1.wav", *given, "--out", "m.wav")
    assert code == 1 and said.startswith("voiceae: error: ") and reason in said and said.count("\n") == 0
    assert not Path("m.wav").exists()


def test_a_way_has_two_ends(mix: Run, clips: Path) -> None:
    assert mix(clips / "anna/1.wav", "--speaker", "a", "--steps", 3, "--out", "m.wav")[0] == 2
