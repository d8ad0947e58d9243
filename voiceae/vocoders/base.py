"""What every vocoder is, and how one is found by name or path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from voiceae.errors import VocoderError
from voiceae.io.filesystem import exists
from voiceae.nn.receptive_field import context_windows
from voiceae.specs import AudioSpec

GRIFFIN_LIM = "griffinlim"
PIECE_FRAMES = 1024  # of a long mel that comes in pieces


class Vocoder(nn.Module):
    """Log-mel to wave: (B, M, T) -> (B, T * hop_length).

    Attributes:
        spec: the mel contract of its input.
        name: what reports call it.
        context_frames: how far to either side a sample depends on the mel, at most.
    """

    spec: AudioSpec
    name: str
    context_frames: int = 32

    def forward(self, mel: Tensor) -> Tensor:
        """Synthesise: (B, M, T) -> (B, T * hop_length)."""
        raise NotImplementedError

    @torch.inference_mode()
    def blocks(self, mels: Iterable[Tensor], frames: int) -> Iterator[Tensor]:
        """What `forward` gives the whole, for a mel that comes in pieces: (B, M, t), ... -> (B, n), ...

        Args:
            mels: pieces of any lengths.
            frames: how many there are in all.
        """
        for window, start, stop in context_windows(mels, PIECE_FRAMES, self.context_frames):
            yield self(window)[:, self.spec.samples(start) : self.spec.samples(stop)]

    def _require_mel(self, mel: Tensor) -> None:
        if mel.dim() != 3 or mel.shape[1] != self.spec.n_mels or mel.shape[2] < 1:
            raise ValueError(
                f"{self.name}: mel of shape {tuple(mel.shape)}; expected (B, {self.spec.n_mels}, T >= 1)"
            )


def load_vocoder(name_or_path: str | Path, spec: AudioSpec, device: str | torch.device = "cpu") -> Vocoder:
    """Find a vocoder and make sure that it speaks the same mel.

    Args:
        name_or_path: "griffinlim"; a voiceae `.safetensors` file of kind "vocoder"; a HiFi-GAN checkpoint in
            its authors' format, either the folder or the `generator_*` file with `config.json` beside it.
        spec: the mel contract of whoever makes the mels.
        device: where its weights go.

    Raises:
        VocoderError: when there is no such vocoder, or its files are damaged or unsafe.
        ModelFileError: when a `.safetensors` file is damaged or is not a vocoder.
        SpecMismatchError: when the vocoder wants another mel; both sides are printed field by field.
    """
    from voiceae.vocoders import hifigan as checkpoint
    from voiceae.vocoders.griffinlim import GriffinLim

    if str(name_or_path) == GRIFFIN_LIM:
        return GriffinLim(spec).to(device).eval()
    path = Path(name_or_path)
    if path.suffix == ".safetensors":
        return _load_own(path, spec, device)
    if not exists(path):
        raise VocoderError(
            f"{name_or_path}: no such vocoder; give {GRIFFIN_LIM}, a vocoder .safetensors file, "
            "or a HiFi-GAN checkpoint (its folder, or its generator file with config.json beside it)"
        )
    spec.require_same(checkpoint.read_config(path).spec, "model", "vocoder")
    return checkpoint.load(path).to(device)


def _load_own(path: Path, spec: AudioSpec, device: str | torch.device) -> Vocoder:
    from voiceae.io import modelfile

    header = modelfile.read_header(path)
    if header.kind == "vocoder":
        spec.require_same(header.spec, "model", "vocoder")
    module = modelfile.load(path, kind="vocoder", device=device).module
    if not isinstance(module, Vocoder):
        raise VocoderError(f"{path}: {header.description.get('_target_')} is not a vocoder")
    return module
