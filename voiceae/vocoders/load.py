"""Vocoders by name or path: whatever kind it is, it speaks the mel of whoever asks, or is refused."""

from __future__ import annotations

from pathlib import Path

import torch

from voiceae.assets import GRIFFIN_LIM
from voiceae.errors import VocoderError
from voiceae.io import modelfile
from voiceae.io.filesystem import exists
from voiceae.specs import AudioSpec
from voiceae.vocoders import hifigan
from voiceae.vocoders.base import Vocoder
from voiceae.vocoders.griffinlim import GriffinLim


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
    if str(name_or_path) == GRIFFIN_LIM:
        return GriffinLim(spec).to(device).eval()
    path = Path(name_or_path)
    if path.suffix == ".safetensors":
        header = modelfile.read_header(path)
        if header.kind == "vocoder":
            spec.require_same(header.spec, "model", "vocoder")
        module = modelfile.load(path, kind="vocoder", device=device).module
        if not isinstance(module, Vocoder):
            raise VocoderError(f"{path}: {header.description.get('_target_')} is not a vocoder")
        return module
    if not exists(path):
        raise VocoderError(
            f"{name_or_path}: no such vocoder; give {GRIFFIN_LIM}, a vocoder .safetensors file, "
            "or a HiFi-GAN checkpoint (its folder, or its generator file with config.json beside it)"
        )
    spec.require_same(hifigan.read_config(path).spec, "model", "vocoder")
    return hifigan.load(path).to(device)
