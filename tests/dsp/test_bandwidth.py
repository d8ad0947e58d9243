from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voiceae.data.prepare import prepare
from voiceae.data.store import FeatureStore
from voiceae.dsp.bandwidth import coded_band
from voiceae.io.audio import load

DEMO = Path(__file__).parents[2] / "recipes/demo/voices/emma.flac"


def write(path: Path, rate: int, through: int | None = None) -> Path:
    """The demo's clip, sampled at a rate, or at that of an upsampled copy of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    speech = soundfile.read(DEMO)
    wav = soxr.resample(speech[0], speech[1], through or rate)
    wav = soxr.resample(wav, through or rate, rate)
    options = {"format": "OGG", "subtype": "OPUS"} if path.suffix == ".opus" else {}
    soundfile.write(path, wav, rate, **options)
    return path


def noise(seed: int, band_hz: float, floor_db: float, rate: int = 22050) -> np.ndarray:
    """Four seconds of noise below a frequency, and so much less above it."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(4 * rate))
    above = np.fft.rfftfreq(4 * rate, 1 / rate) > band_hz
    return np.fft.irfft(np.where(above, spectrum * 10 ** (floor_db / 20), spectrum)).astype(np.float32)


@pytest.mark.parametrize(
    ("band_hz", "floor_db", "rate", "wanted"),
    [
        (8000, -60, 22050, 8000), (8000, -30, 22050, 11025), (11025, 0, 22050, 11025),
        (12000, -70, 48000, 12000), (20000, -70, 48000, 20000), (24000, 0, 48000, 24000), (8000, -70, 16000, 8000),
    ],
)  # fmt: skip
@pytest.mark.parametrize("gain_db", [0, -50])
def test_noise_up_to_a_frequency(
    band_hz: float, floor_db: float, rate: int, wanted: float, gain_db: float
) -> None:
    wav = noise(0, band_hz, floor_db, rate) * np.float32(10 ** (gain_db / 20))
    assert coded_band(wav, rate) == wanted


def test_a_short_wave_has_a_band() -> None:
    assert coded_band(noise(0, 8000, -60)[:600], 22050) in (8000, 11025)
    assert coded_band(np.zeros(5000, np.float32), 22050) == 11025


def test_the_store_says_how_far_a_recording_goes(tmp_path: Path) -> None:
    files = {"wide.opus": (24000, None, 11025), "narrow.opus": (16000, None, 8000)}
    files |= {"upsampled.opus": (48000, 16000, 8000), "studio.wav": (48000, None, 11025)}
    files |= {"phone.wav": (8000, None, 4000), "reader.flac": (16000, None, 8000)}
    for name, (rate, through, _) in files.items():
        write(tmp_path / "c/a" / name, rate, through)
    with pytest.warns(UserWarning, match="below 16 kHz"):
        prepare("folder", tmp_path / "c", tmp_path / "s", jobs=1)
    opened = FeatureStore.open(tmp_path / "s")
    assert {Path(u.path).name: u.band for u in opened.utterances} == {k: v[2] for k, v in files.items()}


@pytest.mark.parametrize(("part", "wanted"), [("train", 8000), ("more", 11025)])
def test_real_recordings_as_opus(corpus: Path, part: str, wanted: float) -> None:
    files = sorted((corpus / part).rglob("*.opus"))
    assert files
    bands = [coded_band(load(path, 22050).wav, 22050) for path in files[:: len(files) // 12]]
    assert bands.count(wanted) >= 0.8 * len(bands)
