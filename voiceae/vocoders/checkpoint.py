"""HiFi-GAN checkpoints in their authors' format, a `generator_*` file beside `config.json`, and out of it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voiceae import modelfile
from voiceae.errors import OutputError, VocoderError
from voiceae.files import is_dir, is_file, require_new
from voiceae.specs import AudioSpec
from voiceae.vocoders.hifigan import HiFiGAN

_SPEC_FIELDS = {
    "sample_rate": "sampling_rate",
    "n_fft": "n_fft",
    "win_length": "win_size",
    "hop_length": "hop_size",
    "n_mels": "num_mels",
    "f_min": "fmin",
    "f_max": "fmax",
}
_ARCHITECTURE = (
    "resblock",
    "upsample_rates",
    "upsample_kernel_sizes",
    "upsample_initial_channel",
    "resblock_kernel_sizes",
    "resblock_dilation_sizes",
)
_NORM_NAMES = (
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
)


@dataclass(frozen=True)
class CheckpointConfig:
    """What `config.json` says.

    Attributes:
        spec: the mel contract; the epsilon 1e-9 and the floor 1e-5 are in the authors' code, not in the file.
        architecture: arguments of `HiFiGAN` besides the spec.
    """

    spec: AudioSpec
    architecture: dict[str, Any]

    @property
    def description(self) -> dict[str, Any]:
        """What `modelfile.build` makes the same generator from."""
        return {
            "_target_": "voiceae.vocoders.hifigan.HiFiGAN",
            "spec": self.spec.to_dict(),
            **self.architecture,
        }


def locate(path: Path) -> tuple[Path, Path]:
    """Generator file and `config.json` of a checkpoint given as folder or file.

    Of several generators in a folder the last by name is taken: the names end in zero-padded steps.

    Raises:
        VocoderError: when either is missing.
    """
    generator = path
    if is_dir(path):
        found = sorted(path.glob("generator_*")) or sorted(path.glob("g_*"))
        if not found:
            raise VocoderError(f"{path}: holds no generator_* file; give the folder of a HiFi-GAN checkpoint")
        generator = found[-1]
    if not is_file(generator):
        raise VocoderError(f"{generator}: no such HiFi-GAN generator file")
    config = generator.with_name("config.json")
    if not is_file(config):
        raise VocoderError(
            f"{generator}: has no config.json beside it; put the one it was published with there"
        )
    return generator, config


def read_config(path: Path) -> CheckpointConfig:
    """Read the `config.json` of a checkpoint given as folder or generator file.

    Raises:
        VocoderError: when it is missing, is not JSON, or lacks a field.
    """
    config = locate(path)[1]
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
        mel = {ours: values[theirs] for ours, theirs in _SPEC_FIELDS.items()}
        architecture = {name: values[name] for name in _ARCHITECTURE}
        if mel["f_max"] is None:
            mel["f_max"] = mel["sample_rate"] / 2
        spec = AudioSpec.from_dict({**mel, "log_floor": 1e-5, "magnitude_epsilon": 1e-9})
    except KeyError as error:
        raise VocoderError(f"{config}: lacks {error}; it is not the config of a HiFi-GAN") from None
    except (TypeError, ValueError, OSError) as error:
        raise VocoderError(f"{config}: is not the config of a HiFi-GAN: {error}") from None
    return CheckpointConfig(
        spec=spec, architecture={**architecture, "resblock": str(architecture["resblock"])}
    )


def load(path: Path) -> HiFiGAN:
    """Build the generator of a checkpoint, weight norm folded, in eval mode without gradients.

    Raises:
        VocoderError: when a file is missing, damaged, holds code besides weights, or does not fit its config.
    """
    generator, config = locate(path)
    wanted = read_config(path)
    state = fold_weight_norm(_read_weights(generator))
    try:
        module = HiFiGAN(spec=wanted.spec, **wanted.architecture)
    except (TypeError, ValueError) as error:
        raise VocoderError(f"{config}: is not the config of a HiFi-GAN: {error}") from None
    try:
        module.load_state_dict(
            {name: value.unsqueeze(2) if value.dim() == 3 else value for name, value in state.items()}
        )
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise VocoderError(f"{generator}: does not fit {config.name}: {first[0].strip()}") from None
    return module.eval().requires_grad_(False)


def convert(path: Path, out: Path, *, force: bool = False, half: bool = False) -> None:
    """Turn a checkpoint into one self-describing safetensors file.

    Args:
        path: folder or generator file.
        out: the `.safetensors` file to write.
        force: overwrite it.
        half: store float16.

    Raises:
        VocoderError: when the checkpoint cannot be read.
        OutputError: when `out` exists already, has another suffix, or cannot be written.
    """
    if out.suffix != ".safetensors":
        raise OutputError(
            f"{out}: vocoders are found again by their suffix; give a name that ends in .safetensors"
        )
    require_new(out, force)
    wanted, module = read_config(path), load(path)
    extra = {"imported_from": locate(path)[0].name}
    description = wanted.description
    modelfile.save(
        out, module, kind="vocoder", description=description, spec=wanted.spec, extra=extra, half=half
    )


def fold_weight_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State with `weight = g v / |v|` (Salimans and Kingma, 2016) in place of each `weight_g`, `weight_v`.

    The norm is over all axes but the first, for transposed convolutions too. Other entries pass through.

    Raises:
        VocoderError: when a gain comes without its direction.
    """
    folded = dict(state)
    for gain_name, direction_name in _NORM_NAMES:
        for name in [name for name in folded if name.endswith("." + gain_name)]:
            stem = name.removesuffix(gain_name)
            if stem + direction_name not in folded:
                raise VocoderError(f"weight norm is incomplete: {name} comes without {stem}{direction_name}")
            gain, direction = folded.pop(name).double(), folded.pop(stem + direction_name).double()
            axes = tuple(range(1, direction.dim()))
            folded[stem + "weight"] = (gain * direction / direction.norm(dim=axes, keepdim=True)).float()
    return folded


def _read_weights(generator: Path) -> dict[str, Tensor]:
    """Read a torch archive as plain tensors only; nothing in it is ever run."""
    try:
        state = torch.load(generator, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise VocoderError(
            f"{generator}: is damaged or holds code besides weights; it was not loaded"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise VocoderError(f"{generator}: cannot be read as a torch file: {reason[0]}") from None
    state = state.get("generator") if isinstance(state, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise VocoderError(f'{generator}: holds no "generator" weights; it is not a HiFi-GAN generator file')
    return state
