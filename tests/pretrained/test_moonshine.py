from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceae.errors import ConfigError
from voiceae.evaluation.scores import character_error_rate
from voiceae.io import audio as audio_io
from voiceae.pretrained.moonshine import PIECE_SECONDS, SAMPLE_RATE, Moonshine, read_tokens, split_at_pauses

CLIPS = Path(__file__).resolve().parents[2] / "recipes/demo/clips"


@pytest.fixture(scope="module")
def recogniser() -> Moonshine:
    try:
        return Moonshine()
    except ConfigError as error:
        pytest.skip(str(error))


def test_synthetic_speech_is_understood(recogniser: Moonshine) -> None:
    said = {
        "rms_1": "We counted seven white boats in the harbor as the fog began to lift.",
        "slt_2": "Please leave the blue umbrella by the kitchen door before you go.",
    }
    for name, text in said.items():
        heard = recogniser.transcribe(audio_io.load(CLIPS / f"{name}.flac", SAMPLE_RATE).wav)
        assert character_error_rate(text, heard) < 0.05, heard


def test_accented_speech_is_mostly_understood(recogniser: Moonshine, minivctk: Path) -> None:
    rates = []
    for text in sorted(minivctk.glob("txt/*/*_001.txt"))[:12]:
        clip = minivctk / "wav48_silence_trimmed" / text.parent.name / f"{text.stem}_mic1.flac"
        heard = recogniser.score(soundfile.read(clip, dtype="float32")[0])["transcript"]
        rates.append(character_error_rate(text.read_text(), heard))
    assert np.mean(rates) < 0.4 and min(rates) == 0


def test_a_long_clip_says_what_its_parts_say(recogniser: Moonshine, minivctk: Path) -> None:
    """20 s, where one piece would end in repetitions, and over the 9.2 s that the graph has a mask for."""
    wavs = [
        soundfile.read(path, dtype="float32")[0]
        for path in sorted((minivctk / "wav48_silence_trimmed/ls1688").glob("*.flac"))[3:8]
    ]
    whole = np.concatenate(wavs)
    assert len(whole) > 20 * SAMPLE_RATE
    parts = " ".join(recogniser.transcribe(wav) for wav in wavs)
    assert len(parts.split()) > 30
    assert character_error_rate(parts, recogniser.transcribe(whole)) < 0.1


def test_silence_says_nothing_and_noise_ends(recogniser: Moonshine) -> None:
    assert recogniser.transcribe(np.zeros(SAMPLE_RATE, np.float32)) == ""
    assert recogniser.transcribe(np.zeros(100, np.float32)) == ""
    noise = np.random.default_rng(0).normal(0, 1e-3, 2 * SAMPLE_RATE).astype(np.float32)
    assert len(recogniser.transcribe(noise).split()) <= 13


def test_tokens_are_read_by_their_lengths() -> None:
    long = b"x" * 300
    data = b"\x03<s>" + b"\x00" + bytes([300 % 128 + 128, 300 // 128]) + long + b"\x02ab"
    assert read_tokens(data) == [b"<s>", b"", long, b"ab"]


def test_a_long_wave_is_cut_where_it_is_quiet() -> None:
    wav = np.random.default_rng(0).normal(0, 0.1, 31 * SAMPLE_RATE).astype(np.float32)
    wav[11 * SAMPLE_RATE : round(11.4 * SAMPLE_RATE)] = 0
    pieces = split_at_pauses(wav)
    assert np.array_equal(np.concatenate(pieces), wav)
    assert 11 <= len(pieces[0]) / SAMPLE_RATE <= 11.4
    assert max(map(len, pieces)) <= PIECE_SECONDS[1] * SAMPLE_RATE
