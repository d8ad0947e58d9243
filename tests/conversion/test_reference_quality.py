"""What a reference is warned of, and that good ones are left in peace."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

import voiceae
from tests.conftest import SHARED
from tests.conversion.unvoiced import CLIPS, RATE, UNVOICED, clip, noise, respoken
from voiceae import Audio
from voiceae.conversion.reference_quality import (
    LEAST_AGREEMENT,
    ReferenceWarning,
    comparison_spans,
    embedding_agreement,
    measure_quality,
)

NAMES = ("slt_1", "slt_2", "rms_1", "rms_2")


def with_noise(audio: Audio, snr_db: float, seed: int = 0) -> Audio:
    """White noise so far below the mean power of the whole."""
    rng = np.random.default_rng(seed)
    scale = np.sqrt(np.mean(audio.wav**2)) * 10 ** (-snr_db / 20)
    return Audio((audio.wav + scale * rng.standard_normal(len(audio.wav))).astype(np.float32), RATE)


def clipped(audio: Audio, share: float, how: str) -> Audio:
    limit = float(np.quantile(np.abs(audio.wav), 1 - share))
    if how == "hard":
        return Audio(0.5 * np.clip(audio.wav, -limit, limit) / limit, RATE)
    if how == "soft":
        return Audio(0.3 * np.tanh(audio.wav / limit), RATE)
    fast = np.clip(soxr.resample(audio.wav, RATE, 44100), -limit, limit)
    return Audio(soxr.resample(fast, 44100, RATE).astype(np.float32), RATE)


def telephone(audio: Audio) -> Audio:
    return Audio(soxr.resample(soxr.resample(audio.wav, RATE, 8000), 8000, RATE), RATE)


def chords(seconds: float = 4.0) -> Audio:
    rng, t = np.random.default_rng(0), np.arange(round(4 * RATE)) / RATE
    wav = np.zeros_like(t)
    for start in np.arange(0, seconds, 0.5):
        root = 110 * 2 ** (rng.integers(12) / 12)
        fade = np.where(t >= start, np.exp(-3 * (t - start)), 0)
        for step in (0, 4, 7):
            wav += fade * sum(np.sin(2 * np.pi * root * 2 ** (step / 12) * k * t) / k for k in range(1, 8))
    return Audio((0.3 * wav / np.abs(wav).max()).astype(np.float32), RATE)


def two_people() -> Audio:
    """A man's clip, and it again with a child's fundamental and formants."""
    return Audio(np.concatenate((respoken("rms_1", 85.0, 0.9).wav, respoken("rms_1", 320.0, 1.35).wav)), RATE)


POOR: dict[str, tuple[Callable[[], Audio], str]] = {
    "noise at 5 dB": (lambda: with_noise(clip("rms_1"), 5), "noise or music"),
    "noise at 0 dB": (lambda: with_noise(clip("slt_1"), 0), "noise or music"),
    "clipped": (lambda: clipped(clip("slt_1"), 0.05, "hard"), "clipped"),
    "pressed softly": (lambda: clipped(clip("rms_2"), 0.10, "soft"), "clipped"),
    "clipped, then resampled": (lambda: clipped(clip("rms_1"), 0.05, "resampled"), "clipped"),
    "telephone": (lambda: telephone(clip("slt_2")), "nothing above"),
    "too short": (lambda: Audio(clip("slt_1").wav[RATE : RATE + 12000], RATE), "s of speech"),
    "two voices": (two_people, "several voices"),
    "chords": (chords, "noise or music"),
    "whisper": (UNVOICED["whisper"], "hardly any voiced"),
    "creak": (UNVOICED["creak"], "no pitch that could be relied on"),
    "very low": (UNVOICED["very low, 45 Hz"], "fundamental of 4"),
    "noise alone": (noise, "hardly any voiced"),
}


@pytest.fixture(scope="module", params=["torch", "onnx"])
def voice(request: pytest.FixtureRequest) -> Any:
    """The bundled model in either runtime."""
    if request.param == "torch":
        return voiceae.load("base", vocoder="griffinlim", device="cpu")
    pytest.importorskip("onnxruntime")
    from voiceae.conversion.backends.select import OnnxVoiceLoader

    return OnnxVoiceLoader(model="base").load()


def said(call: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(each.message) for each in caught if "reference" in str(each.message)]


@pytest.mark.parametrize("name", POOR)
def test_a_poor_reference_is_warned_of_once(voice: Any, name: str) -> None:
    make, words = POOR[name]
    target = make()
    for call in (voice.profile, voice.embed):
        texts = said(lambda call=call: call(target))
        assert len(texts) == 1, texts
        assert words in texts[0]
        assert len(texts[0].splitlines()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_good_one_is_not(voice: Any, name: str) -> None:
    assert said(lambda: voice.profile(CLIPS / f"{name}.flac")) == []
    assert voice.quality(CLIPS / f"{name}.flac").faults == ()


def test_a_conversion_warns_too(voice: Any, tmp_path: Path) -> None:
    target = with_noise(clip("rms_1"), 5)
    texts = said(lambda: voice.convert_file(clip("slt_1"), target, tmp_path / "a.wav"))
    assert len(texts) == 1
    with warnings.catch_warnings(action="ignore"):
        profile = voice.profile(target)
    assert said(lambda: voice.convert(clip("slt_1"), profile)) == []


def test_few_false_alarms_on_unseen_speakers(minivctk: Path) -> None:
    files = sorted((minivctk / "wav48_silence_trimmed").glob("*/*.flac"))[::20]
    from voiceae.io.audio import load

    found = [(measure_quality(load(file, RATE).wav, RATE).faults) for file in files]
    assert len(files) >= 20
    assert sum(bool(each) for each in found) <= len(files) // 20


def test_two_speakers_in_one_clip_are_told_from_one(minivctk: Path) -> None:
    from voiceae.io.audio import load

    voice = voiceae.load("base", vocoder="griffinlim", device="cpu")
    folders = sorted((minivctk / "wav48_silence_trimmed").iterdir())[::2]
    pairs = [[load(file, RATE).wav for file in sorted(folder.glob("*.flac"))[:2]] for folder in folders]
    with warnings.catch_warnings(action="ignore"):
        one = [voice.quality((np.concatenate(pair), RATE)).agreement for pair in pairs]
        two = [
            voice.quality((np.concatenate((first[0], second[0])), RATE)).agreement
            for first, second in zip(pairs, pairs[1:] + pairs[:1], strict=True)
        ]
    assert len(one) >= 10
    assert np.mean(np.array(one) < LEAST_AGREEMENT) <= 0.1
    assert np.mean(np.array(two) < LEAST_AGREEMENT) >= 0.7


def test_the_field_s_noisy_target(voice: Any) -> None:
    path = SHARED / "field/tgt_noisy_5db.flac"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    assert any("noise" in text for text in said(lambda: voice.profile(path)))


@pytest.mark.parametrize("hz", [75.0, 110.0, 240.0, 400.0])
def test_the_fundamental_is_that_of_the_tone(hz: float) -> None:
    t = np.arange(2 * RATE) / RATE
    wav = sum(np.sin(2 * np.pi * hz * k * t + k) / k for k in range(1, 15)).astype(np.float32)
    for rate in (RATE, 48000, 8000):
        quality = measure_quality(soxr.resample(wav, RATE, rate), rate)
        assert quality.fundamental_hz == pytest.approx(hz, rel=0.05)
        assert quality.voiced_share > 0.95


@pytest.mark.parametrize("snr_db", [3.0, 6.0, 9.0])
def test_the_signal_to_noise_ratio_is_that_of_bursts_in_noise(snr_db: float) -> None:
    rng = np.random.default_rng(0)
    wav = rng.standard_normal(4 * RATE)
    loud = np.arange(len(wav)) // (RATE // 4) % 2 == 0
    wav[loud] *= 10 ** (snr_db / 20) * np.sqrt(10)
    measured = measure_quality(wav.astype(np.float32), RATE).signal_to_noise_db
    assert measured == pytest.approx(snr_db + 10, abs=1.5)  # speech and noise together above noise


@pytest.mark.parametrize("size", [1, 7, 400, 2000])
def test_any_length_is_measured(size: int) -> None:
    quality = measure_quality(np.random.default_rng(0).standard_normal(size).astype(np.float32), RATE)
    assert quality.faults and quality.seconds == size / RATE


def test_agreement_is_the_least_over_all_places_of_parting() -> None:
    one, other = np.eye(2, dtype=np.float32)
    assert embedding_agreement([one]) is None
    assert embedding_agreement([one, 3 * one]) == pytest.approx(1)
    assert embedding_agreement([one, one, other]) == pytest.approx(0)
    assert embedding_agreement([one, other, other, other]) == pytest.approx(0)


def test_spans_are_apart_and_within() -> None:
    assert comparison_spans(300, 86.13) == []
    for frames in (344, 500, 900, 50000):
        spans = comparison_spans(frames, 86.13)
        assert 2 <= len(spans) <= 4
        assert spans[0][0] == 0 and spans[-1][1] == frames
        assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_it_is_a_warning_that_can_be_turned_off(voice: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ReferenceWarning)
        voice.profile(with_noise(clip("rms_1"), 5))
