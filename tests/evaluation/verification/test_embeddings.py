"""Equal error rates of encoders of which it is known what they hear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from voiceae.data.corpora import Recording
from voiceae.dsp.transmission_channel import TransmissionChannel
from voiceae.errors import AudioError, ScorerError
from voiceae.evaluation.pairs import Clip
from voiceae.evaluation.verification.embeddings import embedding_cells, measure_embeddings
from voiceae.io.audio import Audio
from voiceae.pretrained import scorers as scorers
from voiceae.pretrained.scorers import Measured, Wav
from voiceae.specs import AudioSpec

RATE = 16000


def peak_hertz(wav: Wav, sample_rate: int) -> float:
    power = np.abs(np.fft.rfft(wav)) ** 2
    return float(np.fft.rfftfreq(len(wav), 1 / sample_rate)[power.argmax()])


def hears_voice(wav: Wav, sample_rate: int) -> np.ndarray:
    """An angle by the pitch of the tone, which no channel moves."""
    angle = peak_hertz(wav, sample_rate) / 1000
    return np.array([np.cos(angle), np.sin(angle)])


def hears_channel(wav: Wav, sample_rate: int) -> np.ndarray:
    """One of two directions by what lies above 7.6 kHz, where the channel's band has ended."""
    spectrum = np.abs(np.fft.rfft(wav)) ** 2
    hertz = np.fft.rfftfreq(len(wav), 1 / sample_rate)
    high = spectrum[(hertz > 7000) & (hertz < 7900)].mean() / spectrum[(hertz > 3000) & (hertz < 4000)].mean()
    return np.array([1.0, 0.0]) if high > 0.2 else np.array([0.0, 1.0])


class Listener:
    """Stands for a voice: embeds by a function of the wave, and notes how often it was asked."""

    fingerprint = "sha256:listener"
    name, spec = "listener", AudioSpec()

    def __init__(self, hear: Callable[[Wav, int], np.ndarray]) -> None:
        self.hear, self.asked = hear, 0

    def embed(self, audio: Audio) -> np.ndarray:
        self.asked += 1
        if len(audio.wav) < 0.5 * audio.sample_rate:
            raise AudioError("too short")
        return self.hear(audio.wav, audio.sample_rate)


class Beside:
    """A scorer that hears the voice, at 16 kHz."""

    version = "beside-1"

    def score(self, wav: Wav) -> Measured:
        if peak_hertz(wav, RATE) > 2000:
            raise ScorerError("is a whistle")
        return {"embedding": hears_voice(wav, RATE).tolist()}


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[Clip]]]:
    """Five speakers, a tone each in wide noise, with four clips of a second."""
    monkeypatch.setattr(scorers, "SCORERS", {"speaker": Beside})
    scorers._load.cache_clear()
    # A band that ends well below where `hears_channel` looks.
    gentle = TransmissionChannel(
        gains_db=(0.0,) * 7, low_hertz=50, high_hertz=5000, signal_to_noise_db=60, mp3_compression=0.5
    )
    monkeypatch.setattr(TransmissionChannel, "draw", classmethod(lambda cls, rng: gentle))
    rng = np.random.default_rng(0)
    found: dict[str, list[Clip]] = {}
    for number, name in enumerate("abcde"):
        for index in range(4):
            time = np.arange(RATE) / RATE
            wav = 0.2 * np.sin(2 * np.pi * (200 + 250 * number + index) * time)
            path = tmp_path / name / f"{index}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, wav + 0.02 * rng.standard_normal(RATE), RATE)
            recording = Recording(path=path, speaker=name, utterance=str(index))
            found.setdefault(name, []).append(Clip(recording, 1.0))
    yield found
    scorers._load.cache_clear()


def measured(groups: dict[str, list[Clip]], voice: Any, **options: Any) -> dict[str, Any]:
    report, excluded = measure_embeddings(voice, groups, encoders=["speaker"], **options)
    assert excluded == []
    return report


def test_an_encoder_of_voices_makes_no_error_in_either_test(groups: dict[str, list[Clip]]) -> None:
    report = measured(groups, Listener(hears_voice))
    assert report["clips"] == 20 and report["speakers"] == 5 and report["through_other_channel"] == 10
    for figures in report["encoders"].values():
        assert figures["one_channel"]["equal_error"]["mean"] == 0
        assert figures["two_channels"]["equal_error"]["mean"] == 0
    table = embedding_cells(report)
    assert [row[0] for row in table] == ["encoder", "the model's own", "Resemblyzer"]
    assert table[1][1] == "0.0% [0.0%, 0.0%]"


def test_an_encoder_of_channels_is_told_only_by_the_second(groups: dict[str, list[Clip]]) -> None:
    own = measured(groups, Listener(hears_channel))["encoders"]["model"]
    # Two clips of each speaker moved: of 30 pairs of one speaker 10 share a channel, of 160 others 80 do. All that
    # share one are accepted, or none: the errors are 20/30 and 80/160, or 0 and 1.
    two = own["two_channels"]
    assert two["equal_error"]["mean"] == pytest.approx((20 / 30 + 80 / 160) / 2)
    assert two["same_across_channels"] == pytest.approx(0) and two[
        "different_in_one_channel"
    ] == pytest.approx(1)
    assert own["one_channel"]["equal_error"]["mean"] == pytest.approx(0.5), "all clips sound alike to it"
    assert own["one_channel"]["different"] == pytest.approx(1)


def test_scores_are_kept_by_content_and_by_model(groups: dict[str, list[Clip]], tmp_path: Path) -> None:
    voice, cache = Listener(hears_voice), tmp_path / "cache"
    first = measured(groups, voice, cache=cache)
    assert voice.asked == 30  # 20 clips, 10 of them twice
    assert measured(groups, voice, cache=cache) == first and voice.asked == 30
    other = Listener(hears_channel)
    other.fingerprint = "sha256:other"
    measured(groups, other, cache=cache)
    assert other.asked == 30


def test_a_clip_that_one_encoder_refuses_is_left_out_for_all(
    groups: dict[str, list[Clip]], tmp_path: Path
) -> None:
    time = np.arange(RATE) / RATE
    soundfile.write(groups["a"][0].path, 0.2 * np.sin(2 * np.pi * 3000 * time), RATE)
    soundfile.write(groups["b"][1].path, 0.2 * np.sin(2 * np.pi * 300 * time[: RATE // 4]), RATE)
    report, excluded = measure_embeddings(Listener(hears_voice), groups, encoders=["speaker"])  # type: ignore[arg-type]
    assert report["clips"] == 18
    assert {(each.pair, each.scorer) for each in excluded} == {
        ("embeddings", "speaker"),
        ("embeddings", "model"),
    }
    assert any("is a whistle" in each.reason for each in excluded)
    assert any("at least 0.5 s" in each.reason for each in excluded)
