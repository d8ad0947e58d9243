"""DistilMOS: a second opinion of how good speech sounds, beside DNSMOS.

4 M weights distilled from a judge on wav2vec features (Stahl and Gamper, arXiv 2502.05356); MIT.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.hardware import torch_threads
from voiceae.pretrained.packaged import PackagedFile

WEIGHTS = PackagedFile(
    package="distillmos",
    version="0.9.1",
    path="distillmos/weights/distill_mos_v7.pt",
    sha256="b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40",
)


class DistilMos:
    """Estimates the mean opinion score, 1 to 5, of overall quality: `distilmos`.

    Raises:
        ConfigError: when the package is not installed, or its weights are others.
    """

    version = f"distilmos-{WEIGHTS.version}"

    def __init__(self) -> None:
        path = WEIGHTS.find()
        import torch
        from distillmos import ConvTransformerSQAModel

        self._torch = torch
        # Its own way of loading prints a line to standard output.
        self._network: Any = ConvTransformerSQAModel(load_weights=False).eval()
        self._network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])

    def score(self, wav: NDArray[np.float32]) -> dict[str, Any]:
        """Estimate the opinion score: (N,) at 16 kHz -> `distilmos`.

        The network takes pieces of 7.68 s, at most a second apart, each levelled by its peak; a shorter clip is
        followed by silence.
        """
        samples = self._torch.from_numpy(np.ascontiguousarray(wav, np.float32))[None]
        with self._torch.inference_mode(), torch_threads(1):
            return {"distilmos": round(float(self._network(samples)), 5)}
