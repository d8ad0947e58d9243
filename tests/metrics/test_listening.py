"""A wave is judged once, whatever file it is in, and a damaged memory is no memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from voiceae.metrics.listening import Heard, default_cache, listen, listen_all


def tone(pitch: float) -> Heard:
    wav = 0.2 * np.sin(2 * np.pi * pitch * np.arange(16000) / 16000)
    return Heard(wav.astype(np.float32), ("speaker", "pitch"))


def test_what_was_said_is_kept_by_wave(tone_judges, tmp_path: Path) -> None:
    first = listen(tone(300), tmp_path)
    assert tone_judges.asked == 2
    assert listen(tone(300), tmp_path) == first
    assert tone_judges.asked == 2
    listen(tone(301), tmp_path)
    assert tone_judges.asked == 4


def test_another_version_is_asked_anew(tone_judges, tmp_path: Path, monkeypatch) -> None:
    listen(tone(300), tmp_path)
    monkeypatch.setattr(tone_judges, "version", "tone-2")
    listen(tone(300), tmp_path)
    assert tone_judges.asked == 4


def test_a_refusal_is_kept_too(tone_judges, tmp_path: Path) -> None:
    assert listen(tone(3000), tmp_path)["speaker"] == "is a whistle"
    assert listen(tone(3000), tmp_path)["speaker"] == "is a whistle"
    assert tone_judges.asked == 2


def test_a_damaged_memory_is_asked_anew(tone_judges, tmp_path: Path) -> None:
    first = listen(tone(300), tmp_path)
    for path in tmp_path.rglob("*.json"):
        path.write_text('{"measured": {"embed')
    assert listen(tone(300), tmp_path) == first
    assert tone_judges.asked == 4


def test_processes_agree_with_one(tmp_path: Path) -> None:
    waves = {str(pitch): tone(pitch) for pitch in (150.0, 250.0)}
    waves = {key: Heard(heard.wav, ("pitch",)) for key, heard in waves.items()}
    assert listen_all(waves, jobs=2) == listen_all(waves, jobs=1)


def test_the_memory_is_where_caches_belong(monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache() == Path("/somewhere/voiceae/judges")


def test_a_memory_that_cannot_be_written_stops_nothing(tone_judges, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert listen(tone(300), tmp_path / "file" / "cache") == listen(tone(300), None)
