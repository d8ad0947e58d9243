"""HiFi-GAN (Kong, Kim and Bae, 2020): the generator for inference, and checkpoints of its authors' format."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.errors import OutputError, VocoderError
from voiceae.io import modelfile
from voiceae.io.filesystem import is_dir, is_file, require_new
from voiceae.specs import AudioSpec
from voiceae.vocoders.base import Vocoder

_SLOPE = 0.1  # of the leaky rectifiers, as in the published generator (arXiv 2010.05646)
_LAST_SLOPE = 0.01  # the authors' last activation keeps torch's default slope, and their weights expect it
_PIECE_SECONDS = 1.5  # of a long mel, so that the activations do not grow with its length


def _conv(inputs: int, outputs: int, kernel_size: int, dilation: int = 1) -> nn.Conv2d:
    """Length-keeping convolution over the last axis of (B, C, 1, N).

    Two-dimensional, since only those run channels-last, where one core is up to 1.7 times as fast.
    """
    padding = dilation * (kernel_size - 1) // 2
    return nn.Conv2d(inputs, outputs, (1, kernel_size), dilation=(1, dilation), padding=(0, padding))


class SingleBlock(nn.Module):
    """Residual dilated convolutions, one a step ("resblock 2"): (B, C, 1, N) -> (B, C, 1, N).

    Args:
        channels: C.
        kernel_size: odd.
        dilations: one for each step.
    """

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_conv(channels, channels, kernel_size, dilation) for dilation in dilations)
        self.reach = kernel_size // 2 * sum(dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Refine: (B, C, 1, N) -> (B, C, 1, N)."""
        for conv in self.convs:
            x = conv(functional.leaky_relu(x, _SLOPE)).add_(x)
        return x


class DoubleBlock(nn.Module):
    """Residual pairs of a dilated and a plain convolution ("resblock 1"): (B, C, 1, N) -> (B, C, 1, N).

    Args:
        channels: C.
        kernel_size: odd.
        dilations: one for each pair.
    """

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            _conv(channels, channels, kernel_size, dilation) for dilation in dilations
        )
        self.convs2 = nn.ModuleList(_conv(channels, channels, kernel_size) for _ in dilations)
        self.reach = kernel_size // 2 * (sum(dilations) + len(dilations))

    def forward(self, x: Tensor) -> Tensor:
        """Refine: (B, C, 1, N) -> (B, C, 1, N)."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            inner = dilated(functional.leaky_relu(x, _SLOPE))
            x = plain(functional.leaky_relu_(inner, _SLOPE)).add_(x)
        return x


_BLOCKS: dict[str, type[SingleBlock] | type[DoubleBlock]] = {"1": DoubleBlock, "2": SingleBlock}


class HiFiGAN(Vocoder):
    """HiFi-GAN generator without weight norm: mel (B, M, T) -> wav (B, T * hop_length).

    Args:
        spec: the mel contract, or its fields.
        resblock: "1" (as in V1 and V2) or "2" (V3).
        upsample_rates: factors whose product is `spec.hop_length`.
        upsample_kernel_sizes: one for each factor, larger by an even number.
        upsample_initial_channel: channels before the first up-sampling; each halves them.
        resblock_kernel_sizes: odd kernels of the parallel residual blocks.
        resblock_dilation_sizes: their dilations.

    Raises:
        ValueError: when the numbers contradict each other.
    """

    name = "hifigan"

    def __init__(
        self,
        *,
        spec: AudioSpec | Mapping[str, Any],
        resblock: str,
        upsample_rates: Sequence[int],
        upsample_kernel_sizes: Sequence[int],
        upsample_initial_channel: int,
        resblock_kernel_sizes: Sequence[int],
        resblock_dilation_sizes: Sequence[Sequence[int]],
    ) -> None:
        super().__init__()
        self.spec = spec if isinstance(spec, AudioSpec) else AudioSpec.from_dict(spec)
        self._check(
            resblock, upsample_rates, upsample_kernel_sizes, resblock_kernel_sizes, resblock_dilation_sizes
        )
        channels = [upsample_initial_channel >> stage for stage in range(len(upsample_rates) + 1)]
        self.conv_pre = _conv(self.spec.n_mels, channels[0], 7)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(above, below, (1, kernel), stride=(1, rate), padding=(0, (kernel - rate) // 2))
            for above, below, kernel, rate in zip(
                channels, channels[1:], upsample_kernel_sizes, upsample_rates, strict=False
            )
        )
        self.resblocks = nn.ModuleList(
            _BLOCKS[resblock](width, kernel, dilations)
            for width in channels[1:]
            for kernel, dilations in zip(resblock_kernel_sizes, resblock_dilation_sizes, strict=True)
        )
        self.conv_post = _conv(channels[-1], 1, 7)
        self.parallel = len(resblock_kernel_sizes)
        self.context_frames = self._context()
        self.piece_frames = self.spec.seconds_to_frames(_PIECE_SECONDS)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _check(
        self,
        resblock: str,
        rates: Sequence[int],
        rate_kernels: Sequence[int],
        kernels: Sequence[int],
        dilations: Sequence[Sequence[int]],
    ) -> None:
        if resblock not in _BLOCKS:
            raise ValueError(f"resblock {resblock!r}; expected one of {', '.join(_BLOCKS)}")
        if len(rates) != len(rate_kernels) or len(kernels) != len(dilations) or not kernels:
            raise ValueError("every up-sampling rate needs a kernel, and every residual kernel its dilations")
        if math.prod(rates) != self.spec.hop_length:
            raise ValueError(
                f"upsample_rates {list(rates)} do not multiply to hop_length {self.spec.hop_length}"
            )
        if any(
            kernel < rate or (kernel - rate) % 2 for kernel, rate in zip(rate_kernels, rates, strict=True)
        ):
            raise ValueError(f"upsample_kernel_sizes {list(rate_kernels)}: need rate plus an even number")
        if any(kernel % 2 == 0 for kernel in kernels) or not all(dilations):
            raise ValueError(f"resblock_kernel_sizes {list(kernels)}: need odd numbers, each with dilations")

    def _context(self) -> int:
        """Mel frames on either side of a frame that its samples depend on.

        Walks back from the wave. A transposed convolution (kernel `k`, stride `u`, padding `p = (k - u) / 2`)
        adds input `i` to the outputs `u i - p` to `u i - p + k - 1`; so a stretch of whole inputs whose
        outputs need `r` samples on either side needs `(r + p + u - 1) // u` inputs on either side.
        """
        reach = self.conv_post.kernel_size[1] // 2
        for stage in reversed(range(len(self.ups))):
            up = self.ups[stage]
            assert isinstance(up, nn.ConvTranspose2d)
            reach += max(int(block.reach) for block in self._stage_blocks(stage))  # type: ignore[arg-type]
            reach = (reach + int(up.padding[1]) + up.stride[1] - 1) // up.stride[1]
        return reach + self.conv_pre.kernel_size[1] // 2

    def _stage_blocks(self, stage: int) -> nn.ModuleList:
        return self.resblocks[stage * self.parallel : (stage + 1) * self.parallel]

    def generate(self, mel: Tensor) -> Tensor:
        """Synthesise in one pass: (B, M, T) -> (B, T * hop_length)."""
        x = mel.to(self.conv_post.weight.dtype).unsqueeze(2).contiguous(memory_format=torch.channels_last)
        x = self.conv_pre(x)
        for stage, up in enumerate(self.ups):
            x = up(functional.leaky_relu_(x, _SLOPE))
            first, *others = self._stage_blocks(stage)
            total = first(x)
            for block in others:
                total += block(x)
            x = total.div_(self.parallel)
        return self.conv_post(functional.leaky_relu_(x, _LAST_SLOPE)).tanh_()[:, 0, 0]


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
        target = "voiceae.vocoders.hifigan.HiFiGAN"
        return {"_target_": target, "spec": self.spec.to_dict(), **self.architecture}


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
    wanted, extra = read_config(path), {"imported_from": locate(path)[0].name}
    module, description = load(path), wanted.description
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
