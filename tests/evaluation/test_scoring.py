"""A wave is scored once, whatever file it is in, and a damaged cache entry counts as none."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from voiceae.evaluation.scoring import ScoringJob, default_cache, score_all, score_wave


def tone(pitch: float) -> ScoringJob:
    wav = 0.2 * np.sin(2 * np.pi * pitch * np.arange(16000) / 16000)
    return ScoringJob(wav.astype(np.float32), ("speaker", "pitch"))


def test_what_was_said_is_kept_by_wave(tone_scorers, tmp_path: Path) -> None:
    first = score_wave(tone(300), tmp_path)
    assert tone_scorers.asked == 2
    assert score_wave(tone(300), tmp_path) == first
    assert tone_scorers.asked == 2
    score_wave(tone(301), tmp_path)
    assert tone_scorers.asked == 4


def test_another_version_is_asked_anew(tone_scorers, tmp_path: Path, monkeypatch) -> None:
    score_wave(tone(300), tmp_path)
    monkeypatch.setattr(tone_scorers, "version", "tone-2")
    score_wave(tone(300), tmp_path)
    assert tone_scorers.asked == 4


def test_a_refusal_is_kept_too(tone_scorers, tmp_path: Path) -> None:
    assert score_wave(tone(3000), tmp_path)["speaker"] == "is a whistle"
    assert score_wave(tone(3000), tmp_path)["speaker"] == "is a whistle"
    assert tone_scorers.asked == 2


def test_a_damaged_memory_is_asked_anew(tone_scorers, tmp_path: Path) -> None:
    first = score_wave(tone(300), tmp_path)
    for path in tmp_path.rglob("*.json"):
        path.write_text('{"measured": {"embed')
    assert score_wave(tone(300), tmp_path) == first
    assert tone_scorers.asked == 4


def test_processes_agree_with_one(tmp_path: Path) -> None:
    waves = {str(pitch): tone(pitch) for pitch in (150.0, 250.0)}
    waves = {key: ScoringJob(heard.wav, ("pitch",)) for key, heard in waves.items()}
    assert score_all(waves, jobs=2) == score_all(waves, jobs=1)


def test_the_memory_is_where_caches_belong(monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache() == Path("/somewhere/voiceae/scores")


def test_a_memory_that_cannot_be_written_stops_nothing(tone_scorers, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert score_wave(tone(300), tmp_path / "file" / "cache") == score_wave(tone(300), None)
