"""Log-mel to wave without torch: Griffin-Lim, or a network that was exported."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.backends.sessions import Export
from voiceae.specs import AudioSpec

Floats = NDArray[np.float32]

GRIFFIN_LIM = "griffinlim"


class PortableVocoder(Protocol):
    """What speaks a mel: (M, T) -> (T * hop_length,)."""

    @property
    def spec(self) -> AudioSpec:
        """The mel contract of its input."""

    def __call__(self, mel: Floats) -> Floats:
        """Synthesise."""


class NetworkVocoder:
    """A vocoder that is one graph: mel (M, T) -> wav (T * hop_length,).

    Long mels go through it in pieces that overlap by what the network sees.

    Args:
        export: of kind "vocoder".
    """

    def __init__(self, export: Export) -> None:
        self.spec = export.manifest.spec
        self._export = export
        self._piece = int(export.manifest.values["piece_frames"])
        self._context = int(export.manifest.values["context_frames"])

    def __call__(self, mel: Floats) -> Floats:
        """Synthesise: (M, T) -> (T * hop_length,)."""
        frames, hop = mel.shape[1], self.spec.hop_length
        wav = np.empty(self.spec.samples(frames), np.float32)
        for start in range(0, frames, self._piece):
            stop = min(start + self._piece, frames)
            low, high = max(0, start - self._context), min(frames, stop + self._context)
            part = self._export.run("vocoder", mel=np.ascontiguousarray(mel[None, :, low:high]))[0][0]
            wav[start * hop : stop * hop] = part[(start - low) * hop : (stop - low) * hop]
        return wav


def open_vocoder(folder: Path | None, spec: AudioSpec) -> PortableVocoder:
    """The vocoder of an export folder, or Griffin-Lim.

    Args:
        folder: an export of kind "vocoder"; None for Griffin-Lim.
        spec: the mel contract of the model.

    Raises:
        ModelFileError: when the folder is damaged.
        SpecMismatchError: when the vocoder wants another mel.
    """
    if folder is None:
        from voiceae.conversion.backends.numpy_griffinlim import GriffinLim

        return GriffinLim(spec)
    export = Export(folder, "vocoder")
    spec.require_same(export.manifest.spec, "model", "vocoder")
    return exported_vocoder(export)


def exported_vocoder(export: Export) -> PortableVocoder:
    """What an export of kind "vocoder" is run by."""
    if export.manifest.values["design"] == "network":
        return NetworkVocoder(export)
    from voiceae.conversion.backends.numpy_sourcefilter import SourceFilter

    return SourceFilter(export)
