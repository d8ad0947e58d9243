"""Whisper by faster-whisper: a recogniser of many languages, where somebody has installed it.

Radford et al., arXiv 2212.04356. Its weights are in no package that this project asks for: a folder is read offline, a
name is looked up in the cache of downloads, then downloaded.
"""

from __future__ import annotations

import hashlib
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.errors import ConfigError


class Whisper:
    """Recognises words: `transcript`, in the language that the model finds in the clip.

    Args:
        model: name that faster-whisper knows, or a folder with a model in the format of CTranslate2.

    Raises:
        ConfigError: when faster-whisper or the model cannot be had.
    """

    def __init__(self, model: str = "base") -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ConfigError(
                f"faster-whisper is not installed ({error}); pip install faster-whisper"
            ) from None
        weights = Path(model) / "model.bin"
        if Path(model).is_dir() and not weights.is_file():
            raise ConfigError(
                f"{model}: has no model.bin; give a folder in the format of CTranslate2, or a name"
            )
        try:
            self._model: Any = WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=1)
        except Exception as error:  # of a download, of a cache, of a damaged file: they share no base class
            first = str(error).partition("\n")[0]
            raise ConfigError(f"{model}: cannot be loaded ({type(error).__name__}: {first})") from None
        name = re.sub(r"[^\w.]+", "_", Path(model).name)
        self.version = f"whisper-{name}-{version('faster-whisper')}"
        if weights.is_file():  # two folders of one name may hold two models
            with weights.open("rb") as file:
                self.version += f"-{hashlib.file_digest(file, 'sha256').hexdigest()[:8]}"

    def score(self, wav: NDArray[np.float32]) -> dict[str, Any]:
        """Recognise the words: (N,) at 16 kHz -> `transcript`."""
        # One temperature and no memory of the segment before, so that the same clip gives the same words.
        segments, _ = self._model.transcribe(
            np.asarray(wav, np.float32), temperature=0.0, condition_on_previous_text=False
        )
        return {"transcript": " ".join(segment.text.strip() for segment in segments)}
