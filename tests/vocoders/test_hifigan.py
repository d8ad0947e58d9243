"""The HiFi-GAN generator against its equations written out, and piecewise against one pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import librosa
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from voiceae.dsp.mel import LogMel
from voiceae.io import modelfile
from voiceae.specs import AudioSpec
from voiceae.vocoders.hifigan import HiFiGAN, read_config
from voiceae.vocoders.load import load_vocoder

V1 = {
    "resblock": "1",
    "upsample_rates": [8, 8, 2, 2],
    "upsample_kernel_sizes": [16, 16, 4, 4],
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
}
V3 = {
    "resblock": "2",
    "upsample_rates": [8, 8, 4],
    "upsample_kernel_sizes": [16, 16, 8],
    "resblock_kernel_sizes": [3, 5, 7],
    "resblock_dilation_sizes": [[1, 2], [2, 6], [3, 12]],
}
ARCHITECTURES = {
    "V1": {**V1, "upsample_initial_channel": 32},  # the published width is 512
    "V2": {**V1, "upsample_initial_channel": 16},  # 128
    "V3": {**V3, "upsample_initial_channel": 16},  # 256
}


def random_generator(name: str) -> HiFiGAN:
    torch.manual_seed(0)
    generator = HiFiGAN(spec=AudioSpec(), **ARCHITECTURES[name]).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(2.0)  # torch's initial weights would let nothing reach far
    return generator


def written_out(config: dict[str, Any], state: dict[str, Tensor], mel: Tensor) -> Tensor:
    """The paper's generator with torch's own weight norm, from the authors' tensors: (B, M, T) -> (B, N)."""

    def conv(name: str, x: Tensor, dilation: int = 1, stride: int = 0) -> Tensor:
        direction = state[f"{name}.weight_v"]
        inputs, outputs, taps = direction.shape
        if stride:
            layer: Any = nn.ConvTranspose1d(inputs, outputs, taps, stride, padding=(taps - stride) // 2)
        else:
            reach = dilation * (taps // 2)
            layer = nn.Conv1d(outputs, inputs, taps, dilation=dilation, padding=reach)
        layer = parametrizations.weight_norm(layer)
        layer.parametrizations.weight.original0.data = state[f"{name}.weight_g"]
        layer.parametrizations.weight.original1.data = direction
        layer.bias.data = state[f"{name}.bias"]
        return layer(x)

    x = conv("conv_pre", mel)
    kernels = len(config["resblock_kernel_sizes"])
    for stage, rate in enumerate(config["upsample_rates"]):
        x = conv(f"ups.{stage}", functional.leaky_relu(x, 0.1), stride=rate)
        results = []
        for number, dilations in enumerate(config["resblock_dilation_sizes"]):
            block, y = f"resblocks.{stage * kernels + number}", x
            for step, dilation in enumerate(dilations):
                if config["resblock"] == "1":
                    inner = conv(f"{block}.convs1.{step}", functional.leaky_relu(y, 0.1), dilation)
                    y = y + conv(f"{block}.convs2.{step}", functional.leaky_relu(inner, 0.1))
                else:
                    y = y + conv(f"{block}.convs.{step}", functional.leaky_relu(y, 0.1), dilation)
            results.append(y)
        x = torch.stack(results).mean(0)
    return torch.tanh(conv("conv_post", functional.leaky_relu(x)))[:, 0]


@torch.no_grad()
def test_equals_the_equations_on_the_real_checkpoint(shared_vocoder: Path, mels: list[Tensor]) -> None:
    state = torch.load(shared_vocoder / "generator_v3_lj", weights_only=True)["generator"]
    mel = mels[0][None, :, :150]
    expected = written_out(read_config(shared_vocoder).architecture, state, mel)
    vocoder = load_vocoder(shared_vocoder, AudioSpec())
    torch.testing.assert_close(vocoder(mel), expected, atol=2e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_equals_the_equations_in_every_architecture(name: str) -> None:
    generator = random_generator(name)
    state = {}
    for key, value in generator.state_dict().items():
        flat = value.squeeze(2) if value.dim() == 4 else value
        if key.endswith("weight"):
            state[key + "_v"] = 3.0 * flat
            state[key + "_g"] = flat.flatten(1).norm(dim=1).view(-1, 1, 1)
        else:
            state[key] = flat
    mel = torch.randn(2, 80, 9)
    expected = written_out(ARCHITECTURES[name], state, mel)
    assert float(expected.std()) > 1e-3
    torch.testing.assert_close(generator(mel), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_context_is_exactly_what_a_frame_can_hear(name: str) -> None:
    """The gradient of one frame's samples reaches `context_frames` frames to either side, and no further."""
    generator = random_generator(name).double()
    reach = generator.context_frames
    middle = reach + 4
    mel = torch.randn(1, 80, 2 * middle + 1, dtype=torch.float64, requires_grad=True)
    wav = generator.generate(mel)[0, middle * 256 : (middle + 1) * 256]
    (gradient,) = torch.autograd.grad((wav * torch.randn(256, dtype=torch.float64)).sum(), mel)
    heard = gradient[0].abs().sum(0).nonzero()[:, 0]
    assert (int(heard.min()), int(heard.max())) == (middle - reach, middle + reach)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("frames", [1, 19, 20, 21, 75])
def test_pieces_equal_one_pass(name: str, frames: int) -> None:
    generator = random_generator(name)
    generator.piece_frames = 20
    mel = torch.randn(2, 80, frames)
    with torch.inference_mode():
        torch.testing.assert_close(generator(mel), generator.generate(mel), atol=1e-5, rtol=0)
        assert generator(mel).shape == (2, frames * 256)


@torch.inference_mode()
def test_pieces_equal_one_pass_on_speech(shared_vocoder: Path, mels: list[Tensor]) -> None:
    vocoder = load_vocoder(shared_vocoder, AudioSpec())
    assert isinstance(vocoder, HiFiGAN)
    mel = torch.cat(mels, dim=1)[None]
    assert mel.shape[2] > 3 * vocoder.piece_frames
    whole = vocoder.generate(mel)
    torch.testing.assert_close(vocoder(mel), whole, atol=1e-4, rtol=0)
    vocoder.context_frames = 4
    assert float((vocoder(mel) - whole).abs().max()) > 1e-3, (
        "the seams would not be heard if context did not matter"
    )


def test_copies_speech_as_well_as_its_readme_says(
    shared_vocoder: Path, minivctk: Path, to_mel: LogMel, spec: AudioSpec
) -> None:
    vocoder = load_vocoder(shared_vocoder, spec)
    distances = []
    for folder in sorted((minivctk / "wav48_silence_trimmed").glob("so*"))[::4]:
        wav = torch.from_numpy(librosa.load(sorted(folder.glob("*.flac"))[0], sr=spec.sample_rate)[0])
        mel = to_mel(wav)
        distances.append(float((to_mel(vocoder(mel[None])[0]) - mel).abs().mean()))
    assert len(distances) >= 4
    assert 0.33 <= sum(distances) / len(distances) <= 0.42, distances


def test_batch_gives_what_each_gives_alone() -> None:
    generator = random_generator("V3")
    mel = torch.randn(3, 80, 30)
    together = generator(mel)
    for row, alone in zip(together, mel, strict=True):
        torch.testing.assert_close(row, generator(alone[None])[0], atol=1e-5, rtol=0)


def test_silence_stays_near_silence(shared_vocoder: Path, to_mel: LogMel) -> None:
    vocoder = load_vocoder(shared_vocoder, AudioSpec())
    assert float(vocoder(to_mel(torch.zeros(22050))[None]).square().mean().sqrt()) < 3e-3


def test_a_description_rebuilds_it() -> None:
    description = {
        "_target_": "voiceae.vocoders.hifigan.HiFiGAN",
        "spec": AudioSpec().to_dict(),
        **ARCHITECTURES["V3"],
    }
    again, original = modelfile.build(description), random_generator("V3")
    again.load_state_dict(original.state_dict())
    mel = torch.randn(1, 80, 5)
    torch.testing.assert_close(again(mel), original(mel), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resblock": "3"}, "resblock '3'; expected one of 1, 2"),
        ({"upsample_rates": [8, 8, 2]}, r"\[8, 8, 2\] do not multiply to hop_length 256"),
        ({"upsample_kernel_sizes": [16, 16]}, "needs a kernel"),
        ({"upsample_kernel_sizes": [16, 16, 7]}, "rate plus an even number"),
        ({"resblock_kernel_sizes": [3, 4, 7]}, "need odd numbers"),
        ({"resblock_dilation_sizes": [[1], [2], []]}, "each with dilations"),
    ],
)
def test_contradictions_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HiFiGAN(spec=AudioSpec(), **{**ARCHITECTURES["V3"], **change})  # type: ignore[arg-type]
