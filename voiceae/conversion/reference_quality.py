"""Quality of a recording as a reference for a voice: noise, clipping, bandwidth, F0, and whether it is one voice.

Plain numpy, for the runtimes with torch and without.

All thresholds were set on 347 clips of 70 speakers that no bundled model was trained on (LibriSpeech test-other,
speechocean762, Common Voice), so that each raises at most one false alarm in a hundred of them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceae.dsp.loudness import active_power, frame_powers

Floats = NDArray[np.float32]

NOISY_DB = 12.0
"""Clean clips: 14.0 at least, 20 at the second percentile; speech in white noise at 10 dB reads 9, at 5 dB 5 to 6."""
LEAST_VOICED = 0.15
"""Share of the active frames; clean clips .24 at least, whispers .03 at most, irregular creak .12 to .26."""
LOWEST_HZ = 60.0
"""Median fundamental; clean clips 82 at least. What is lower is beyond the models' grids, or no single voice: the
autocorrelation of a chord peaks at the common subharmonic, 37 to 46 Hz."""
CLIPPED = 0.02
"""Share of samples within 2 dB of the peak; clean clips .015 at most, .03 when 2 % of the samples are clipped, hard or
softly or before a change of the rate."""
NARROW_HZ = 5000.0
"""Where the spectrum falls 60 dB below its highest value for good; wideband clips 6,700 at least, telephone 4,000."""
LEAST_AGREEMENT = 0.65
"""Cosine between the bundled model's embeddings of two segments: none of 87 clips of one speaker are below (two of 153
others), and 93 % of 149 that were joined of two speakers' clips."""
SHORT_SECONDS = 0.7
"""Of speech without its pauses; a target needs 0.5 s with them."""

REFERENCE_CHUNK_SECONDS = 300.0
"""Of a target; the profiles of its pieces are averaged."""
OVERLAP_SECONDS = 1.0  # of those pieces: the last is no short rest, from which an embedding would be poor
SEGMENT_SECONDS = 2.0  # long enough for an embedding of the voice rather than of the words
_SEGMENTS = 4  # whose embeddings are compared, spread evenly

_FRAMES = 160  # that are analysed, spread evenly: the cost does not grow with the recording
_FRAME_SECONDS = 0.064  # two and a half periods of 40 Hz
# From below every voice, so that what is too low is told apart from what has no F0, to a child's.
_LOWEST_SEARCHED_HZ, _HIGHEST_SEARCHED_HZ = 36.0, 500.0
_TRACKING_HZ = 5500.0  # sample rate at which an F0 is searched: five harmonics of the highest
# Normalised autocorrelation from which a frame is voiced. White noise has .29 at most, the median frame of the demo's
# clips .82 to .97.
_VOICED = 0.7
# Of the highest peak: the first that high is the period and not its multiple (k of McLeod and Wyvill 2005).
_FIRST_PEAK = 0.9
_ACTIVE = 0.1  # of the mean power, the gate of `active_power`
_NOISE_QUANTILE = 0.1  # of the frames' powers: pauses, or the weakest sounds where there are none
_BAND_DB = 60.0  # below the strongest bin: what is weaker counts as nothing, as the remains of a resampler or a codec
_NEAR_PEAK = 0.8  # of the peak, 2 dB below it


class ReferenceWarning(UserWarning):
    """Warns of a recording that is a poor reference for a voice."""


@dataclass(frozen=True, kw_only=True)
class ReferenceQuality:
    """Figures of a recording, from which `faults` says what makes it a poor reference.

    Attributes:
        seconds: duration.
        active_seconds: of the frames that are no pauses.
        level_dbfs: RMS of these frames.
        signal_to_noise_db: level of these frames above the tenth percentile of all, at most 100.
        voiced_share: of the active frames, those with a fundamental of 36 to 500 Hz.
        fundamental_hz: their median; NaN without any.
        peak_share: samples within 2 dB of the peak; many where peaks were cut or pressed down.
        bandwidth_hz: up to which there is sound.
        agreement: least cosine between what two parts of it are embedded as; None where it is too short to tell.
    """

    seconds: float
    active_seconds: float
    level_dbfs: float
    signal_to_noise_db: float
    voiced_share: float
    fundamental_hz: float
    peak_share: float
    bandwidth_hz: float
    agreement: float | None = None

    @property
    def has_pitch(self) -> bool:
        """Whether it has the F0 of one voice, within the range of the models."""
        return self.voiced_share >= LEAST_VOICED and self.fundamental_hz >= LOWEST_HZ

    @property
    def faults(self) -> tuple[str, ...]:
        """Why it is a poor reference, in words; empty for a good one."""
        found = {
            f"only {self.active_seconds:.1f} s of speech": self.active_seconds < SHORT_SECONDS,
            f"noise or music {self.signal_to_noise_db:.0f} dB below the speech": self.signal_to_noise_db
            < NOISY_DB,
            "peaks are clipped": self.peak_share > CLIPPED,
            f"nothing above {self.bandwidth_hz / 1000:.1f} kHz": self.bandwidth_hz < NARROW_HZ,
            "several voices": self.agreement is not None and self.agreement < LEAST_AGREEMENT,
            f"hardly any voiced speech ({self.voiced_share:.0%})": self.voiced_share < LEAST_VOICED,
            f"a fundamental of {self.fundamental_hz:.0f} Hz": self.voiced_share >= LEAST_VOICED
            and self.fundamental_hz < LOWEST_HZ,
        }
        return tuple(text for text, applies in found.items() if applies)


def measure_quality(
    wav: Floats, sample_rate: int, gain_db: float = 0.0, embeddings: Sequence[Floats] = ()
) -> ReferenceQuality:
    """Quality of a wave: (N,) ->.

    Args:
        wav: samples; nothing here but the level depends on the full scale.
        sample_rate: Hz.
        gain_db: by which it was amplified before, so that the level is told as it came.
        embeddings: of its `comparison_spans`, for the agreement.
    """
    powers = frame_powers(wav, sample_rate)
    level = active_power(powers)
    noise = max(float(np.quantile(powers, _NOISE_QUANTILE)), level * 1e-10)
    active = float(np.mean(powers >= _ACTIVE * powers.mean(dtype=np.float64)))
    voiced, fundamental = _fundamental(wav, sample_rate)
    magnitudes = np.abs(wav)
    peak = np.partition(magnitudes, -3)[-3] if len(wav) > 3 else magnitudes.max()
    # Hz above which the spectrum of the active frames stays 60 dB below its highest value. It is taken over five bins,
    # 108 Hz at 22,050 Hz, so that a single one above the band does not widen it.
    size, bandwidth = 1024, 0.0
    spectra = np.abs(np.fft.rfft(_frames(wav, size)[::2] * np.hanning(size).astype(np.float32))) ** 2
    sums = spectra.sum(1)
    spectrum = np.convolve(spectra[sums >= _ACTIVE * sums.mean()].mean(0), np.full(5, 0.2), "same")
    audible = np.flatnonzero(spectrum > spectrum.max() * 10 ** (-_BAND_DB / 10))
    if len(audible):
        bandwidth = float((audible[-1] + 1) * sample_rate / size)
    return ReferenceQuality(
        seconds=len(wav) / sample_rate,
        active_seconds=active * len(wav) / sample_rate,
        level_dbfs=10 * math.log10(level) - gain_db,
        signal_to_noise_db=10 * math.log10(level / noise),
        voiced_share=voiced,
        fundamental_hz=fundamental,
        peak_share=float(np.mean(magnitudes >= _NEAR_PEAK * peak)),
        bandwidth_hz=bandwidth,
        agreement=embedding_agreement(embeddings),
    )


def covering_spans(
    frames: int,
    frame_rate: float,
    longest_seconds: float = REFERENCE_CHUNK_SECONDS,
    overlap_seconds: float = OVERLAP_SECONDS,
) -> list[tuple[int, int]]:
    """Spans of equal length, each within memory, that cover all frames; neighbours overlap."""
    longest, overlap = (max(1, round(each * frame_rate)) for each in (longest_seconds, overlap_seconds))
    if frames <= longest:
        return [(0, frames)]
    count = -(-(frames - overlap) // (longest - overlap))
    length = -(-(frames - overlap) // count) + overlap
    starts = [min(index * (length - overlap), frames - length) for index in range(count)]
    return [(start, start + length) for start in starts]


def comparison_spans(frames: int, frame_rate: float) -> list[tuple[int, int]]:
    """Segments of two seconds spread over a mel, whose embeddings are compared; none where there are not two."""
    length = round(SEGMENT_SECONDS * frame_rate)
    count = min(_SEGMENTS, frames // length)
    if count < 2:
        return []
    starts = np.linspace(0, frames - length, count).round().astype(int)
    return [(int(start), int(start) + length) for start in starts]


def embedding_agreement(embeddings: Sequence[Floats]) -> float | None:
    """Least cosine between the mean of the first segments and that of the others, over all places to part them."""
    if len(embeddings) < 2:
        return None
    unit = np.stack([each / np.linalg.norm(each) for each in embeddings]).astype(np.float64)
    sums = unit.cumsum(0)
    pairs = [(first, sums[-1] - first) for first in sums[:-1]]
    return float(min(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12) for a, b in pairs))


def warn_of_reference(name: str, quality: ReferenceQuality, pitch: bool) -> None:
    """Warn in one line of what is wrong with a reference, if anything is.

    Args:
        name: of the recording.
        quality: as measured.
        pitch: whether its pitch centre can be used.
    """
    faults = list(quality.faults)
    if not pitch:
        faults.append("no pitch that could be relied on, so that of the source is kept")
    if faults:
        warnings.warn(
            f"{name}: a poor reference: {', '.join(faults)}; expect less likeness, or give another clip",
            ReferenceWarning,
            stacklevel=3,
        )


def _frames(wav: Floats, size: int) -> Floats:
    """At most `_FRAMES` frames spread evenly: (N,) -> (F, size)."""
    wav = np.pad(wav, (0, max(0, size - len(wav))))
    places = len(wav) - size + 1
    starts = np.arange(0, places, max(size // 4, -(-places // _FRAMES)))
    return np.lib.stride_tricks.sliding_window_view(wav, size)[starts]


def _fundamental(wav: Floats, sample_rate: int) -> tuple[float, float]:
    """Share of the active frames that are voiced, and their median fundamental, Hz: (N,) -> (), ().

    By the normalised square difference function of McLeod and Wyvill 2005, "A smarter way to find pitch".
    """
    step = max(1, round(sample_rate / _TRACKING_HZ))
    rate = sample_rate / step
    frames = _frames(wav, round(_FRAME_SECONDS * rate) * step)
    frames = frames.reshape(len(frames), -1, step).mean(2)  # of a few neighbours: what folds back is breath
    frames = frames - frames.mean(1, keepdims=True)
    length, last = frames.shape[1], int(rate / _LOWEST_SEARCHED_HZ) + 2
    size = 1 << (length + last - 1).bit_length()
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, size)) ** 2, size)[:, :last]
    sums = np.pad(np.cumsum(frames.astype(np.float64) ** 2, 1), ((0, 0), (1, 0)))
    lags = np.arange(last)
    # Normalised square difference 2 r(lag) / m(lag), where m is the energy of both parts that overlap.
    energy = sums[:, length - lags] + sums[:, [length]] - sums[:, lags]
    nsdf = 2 * correlation / np.maximum(energy, 1e-12)
    power = sums[:, length]
    active = power >= _ACTIVE * power.mean()
    first = int(rate / _HIGHEST_SEARCHED_HZ)
    searched = nsdf[:, first:]
    middle = searched[:, 1:-1]
    peaks = np.where((middle >= searched[:, :-2]) & (middle > searched[:, 2:]), middle, -1.0)
    lag = (peaks >= _FIRST_PEAK * peaks.max(1, keepdims=True)).argmax(1)
    voiced = active & (peaks[np.arange(len(peaks)), lag] > _VOICED)
    if not voiced.any():
        return 0.0, math.nan
    return float(voiced.sum() / active.sum()), float(np.median(rate / (lag[voiced] + first + 1)))
