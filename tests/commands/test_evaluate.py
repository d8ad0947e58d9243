"""`voiceae evaluate` and `voiceae bench` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceae.cli import run

pytest.importorskip("pyworld", reason="pyworld is not installed; pip install voiceae[eval]")

RATE = 16000


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers that buzz, four clips each."""
    root = tmp_path_factory.mktemp("evaluate")
    for speaker, pitch in {"low": 110, "high": 220}.items():
        for index in range(4):
            phase = 2 * np.pi * (pitch + 3 * index) * np.arange(3 * RATE) / RATE
            wav = 0.05 * sum(np.cos(k * phase) for k in range(1, 10))
            path = root / "clips" / speaker / f"{index}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, wav, RATE)
    return root


def scored(recordings: Path, out: Path, *more: str) -> int:
    """Score files made elsewhere: the targets themselves, so that pitch must be right."""
    table = recordings / "pairs.csv"
    table.write_text("source,target,out\nlow/0.wav,high/1.wav,high/2.wav\nhigh/0.wav,low/1.wav,none.wav\n")
    clips = str(recordings / "clips")
    given = ["--corpus", clips, "--kind", "folder", "--pairs", str(table), "--converted", clips]
    return run(["evaluate", *given, "--out", str(out), "--scorers", "pitch", "--no-cache", *more])


def test_files_made_elsewhere_are_scored(recordings: Path, tmp_path: Path, capsys) -> None:
    assert scored(recordings, tmp_path / "report") == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["rows"]["conversion"]["f0_offset_semitones"]["mean"] < 1
    assert report["rows"]["source"]["f0_offset_semitones"]["mean"] > 10
    assert report["excluded"][0]["pair"] == "none.wav"
    printed = capsys.readouterr()
    assert "none.wav: no such file" in printed.err
    assert printed.out.splitlines()[0].startswith("On 1 pair of speakers, ")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.json",
        "report.md",
        "report.html",
    }
    assert scored(recordings, tmp_path / "report") == 1  # it exists
    assert "use --force" in capsys.readouterr().err


def test_a_figure_out_of_its_range_is_exit_code_1(recordings: Path, tmp_path: Path, capsys) -> None:
    limits = tmp_path / "limits.json"
    limits.write_text('{"conversion.f0_offset_semitones": [0, 1]}')
    assert scored(recordings, tmp_path / "good", "--tolerances", str(limits)) == 0
    limits.write_text('{"conversion.f0_offset_semitones": [5, null]}')
    assert scored(recordings, tmp_path / "bad", "--tolerances", str(limits)) == 1
    assert "conversion.f0_offset_semitones" in capsys.readouterr().err
    reports = [str(tmp_path / name / "report.json") for name in ("good", "bad")]
    assert run(["evaluate", "--compare", *reports]) == 0
    assert "0 of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --corpus and --out"),
        (["--corpus", ".", "--out", "x", "--converted", "."], "--converted needs --pairs"),
    ],
)
def test_what_is_missing_is_a_usage_error(arguments: list[str], words: str, capsys) -> None:
    assert run(["evaluate", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_an_unknown_scorer_is_one_line(recordings: Path, tmp_path: Path, capsys) -> None:
    given = ["--corpus", str(recordings / "clips"), "--kind", "folder", "--out", str(tmp_path / "r")]
    assert run(["evaluate", *given, "--scorers", "taste"]) == 1
    assert capsys.readouterr().err.startswith("voiceae: error: taste: no such scorer")


def test_reasons_that_many_share_are_one_line() -> None:
    from voiceae.commands.evaluate import _summed_up

    reasons = [*(f"s{i}: trained on" for i in range(7)), "a.wav: silent", "a.wav: silent", "odd"]
    assert list(_summed_up(reasons)) == ["s0, s1, s2, s3, s4 and 2 more: trained on", "a.wav: silent", "odd"]
