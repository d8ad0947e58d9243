"""The scorers themselves, each against its own package or a signal whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceae.errors import ConfigError, ScorerError
from voiceae.pretrained.scorers import SAMPLE_RATE, PitchScorer, Scorer, Wav, load_scorers, mel_cepstra


def scorer(name: str) -> Scorer:
    loaded = load_scorers((name,))
    if loaded.missing:
        pytest.skip(loaded.missing[name])
    return loaded.scorers[name]


@pytest.fixture(scope="module")
def speech(minivctk: Path) -> Wav:
    folder = minivctk / "wav48_silence_trimmed" / "so0024"
    return soundfile.read(folder / "so0024_003_mic1.flac", dtype="float32")[0]


def test_speaker_is_what_resemblyzer_says(speech: Wav) -> None:
    found = scorer("speaker").score(speech)["embedding"]
    resemblyzer = pytest.importorskip("resemblyzer")
    expected = resemblyzer.VoiceEncoder("cpu", verbose=False).embed_utterance(
        resemblyzer.preprocess_wav(speech, SAMPLE_RATE)
    )
    assert np.allclose(found, expected, atol=1e-5)


def test_noise_has_no_speaker() -> None:
    with pytest.raises(ScorerError, match="s of speech; a speaker needs at least"):
        scorer("speaker").score(np.zeros(SAMPLE_RATE, np.float32) + np.float32(1e-4))


def test_opinion_is_what_speechmos_says(speech: Wav) -> None:
    found = scorer("mos").score(speech)
    expected = pytest.importorskip("speechmos.dnsmos").run(speech, SAMPLE_RATE)
    assert found == pytest.approx({name: expected[f"{name}_mos"] for name in found}, abs=1e-4)


@pytest.mark.parametrize("name", ["content", "pocketsphinx"])
def test_words_do_not_depend_on_what_was_heard_before(speech: Wav, name: str) -> None:
    recogniser = scorer(name)
    alone = recogniser.score(speech[: 2 * SAMPLE_RATE])
    noise = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE).astype(np.float32)
    recogniser.score(noise)
    assert recogniser.score(speech[: 2 * SAMPLE_RATE]) == alone
    assert isinstance(alone["transcript"], str)


def gliding(low: float, high: float) -> tuple[Wav, np.ndarray]:
    """A buzz and its fundamental every 10 ms."""
    f0 = np.linspace(low, high, 2 * SAMPLE_RATE)
    phase = 2 * np.pi * np.cumsum(f0) / SAMPLE_RATE
    wav = 0.05 * sum(np.cos(k * phase) / k for k in range(1, 15))
    return wav.astype(np.float32), f0[::160]


def test_pitch_follows_a_glide_of_known_frequency() -> None:
    wav, expected = gliding(120, 180)
    found = np.array(scorer("pitch").score(wav)["f0"])[10:180]
    assert np.median(np.abs(found / expected[10:180] - 1)) < 0.01


def test_pitch_without_pyworld_still_follows() -> None:
    wav, expected = gliding(120, 180)
    found = PitchScorer.__new__(PitchScorer)._pyin(wav)[10:180]
    assert np.median(np.abs(found / expected[10:180] - 1)) < 0.02


def test_silence_has_no_pitch() -> None:
    with pytest.raises(ScorerError, match="no voiced frame"):
        scorer("pitch").score(np.zeros(SAMPLE_RATE, np.float32))


def test_a_cosine_on_the_mel_axis_is_one_coefficient() -> None:
    frequency = np.linspace(0, 8000, 2049)
    mel = 1127 * np.log1p(frequency / 700) / (1127 * np.log1p(8000 / 700))
    power = np.exp(2 * (0.7 + 2 * 0.3 * np.cos(3 * np.pi * mel)))  # log amplitude: c0 = 0.7, c3 = 0.3
    found = mel_cepstra(power[None], 16000)[0]
    assert found == pytest.approx(0.3 * np.eye(24)[2], abs=1e-3)


def test_an_absent_scorer_is_named_with_what_to_do_and_the_others_go_on(tone_scorers: object) -> None:
    loaded = load_scorers()
    assert set(loaded.scorers) == {"speaker", "dvector", "content", "mos", "distilmos", "pitch"}
    assert loaded.missing["mcd"].endswith("pip install voiceae[eval]")
    assert "\n" not in loaded.missing["mcd"]


def test_an_unknown_scorer_is_refused() -> None:
    with pytest.raises(ConfigError, match="taste: no such scorer; there are speaker, dvector, content"):
        load_scorers(("speaker", "taste"))
