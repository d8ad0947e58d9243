"""Every part under bf16 autocast, as trainings run it, stays near what it is in float32, as it is used."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import librosa
import pytest
import torch
from torch import Tensor, nn

import voiceae
from tests.systems import SMALL, config, small_system
from voiceae.data.crops import Batch
from voiceae.dsp.channel_perturbation import ChannelPerturbation
from voiceae.dsp.mel import LogMel
from voiceae.dsp.statistics import active_moments, match_moments
from voiceae.dsp.vocal_tract import VocalTractPerturbation
from voiceae.io import modelfile
from voiceae.models.discriminators import (
    MelDiscriminator,
    WaveDiscriminators,
    feature_matching_loss,
    mel_adversarial_loss,
    mel_discriminator_loss,
    wave_adversarial_losses,
    wave_discriminator_loss,
)
from voiceae.models.encoders import SpeakerPart, SpeakerTable
from voiceae.models.multitarget import CodeClassifier, PatchDiscriminator
from voiceae.models.timbre import TimbreAttention, TimbreEncoder
from voiceae.nn.layers import lengths_to_mask
from voiceae.nn.losses import (
    CLUBEstimator,
    CPCLoss,
    MultiResolutionSTFTLoss,
    contrastive_loss,
    margin_loss,
    reconstruction_loss,
    relational_loss,
)
from voiceae.specs import AudioSpec
from voiceae.training.objectives.vqmivc import pitch_contour
from voiceae.vocoders.griffinlim import GriffinLim
from voiceae.vocoders.hifigan import HiFiGAN

pytestmark = pytest.mark.numeric
SPEC = AudioSpec()
CLIPS = Path(__file__).parents[1] / "recipes/demo/clips"
ASSETS = Path(voiceae.__file__).parent / "assets"
PACKAGES = ("models", "nn", "vocoders", "dsp")


@cache
def speech() -> tuple[Tensor, Tensor, Tensor]:
    """Four crops of two voices, the second one padded: wav (B, N), mel (B, M, T), mask (B, T)."""
    frames = 96
    clips = [
        librosa.load(path, sr=SPEC.sample_rate, duration=2.0)[0] for path in sorted(CLIPS.glob("*.flac"))
    ]
    wav = torch.stack([torch.from_numpy(clip[5000:][: SPEC.samples(frames)]) for clip in clips])
    return wav, LogMel(SPEC)(wav), lengths_to_mask(torch.tensor([96, 70, 96, 96]), frames)


def tensors(value: Any) -> Iterator[Tensor]:
    """All floating-point tensors of a result of any kind."""
    if isinstance(value, Tensor):
        if value.is_floating_point() or value.is_complex():
            yield value
    elif is_dataclass(value):
        for each in fields(value):
            yield from tensors(getattr(value, each.name))
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from tensors(each)


def half() -> Any:
    return torch.autocast("cpu", dtype=torch.bfloat16)


def change(ours: Tensor, wanted: Tensor) -> float:
    """Mean difference in terms of the mean size."""
    return float((ours.to(wanted) - wanted).abs().mean() / wanted.abs().mean().clamp_min(1e-6))


NEAR = 0.01
"""Of the mean size: a bfloat16 has eight bits, so a rounding moves a value by at most .4 %."""
EXACT = {
    "MelPitch": 1e-6,  # templates are compared by small differences of correlations
    "NoPitch": 0.0,
    "Excitation": 1e-6,  # a phase is a sum over all frames before
    "MelInverse": 1e-6,
    "MultiResolutionSTFTLoss": 1e-5,
    "VocalTractPerturbation": 1e-6,  # makes what a model must reach
    "ChannelPerturbation": 1e-6,  # the same
    "LogMel": 1e-6,
    "SigmoidBottleneck": 1e-3,  # its units stay near a half
    "PatchDiscriminator": 0.02,  # without AVX-512 its convolutions are summed in another order: .0106
    "AgainVCDecoder": 0.03,  # norms blow up what little the units differ
}
USED_WHERE = {
    "NoAdversary": "is empty",
    "DiscreteBottleneck": "is a base class",
    "BottleneckPart": "is a base class",
    "ContentPart": "is a base class",
    "DecoderPart": "is a base class",
    "SpeakerPart": "is a base class",
    "TimbrePart": "is a base class",
    "Scheduled": "is a base class",
    "Vocoder": "is a base class",
    "Autoencoder": "is called by its methods, see the test of the objectives",
    "SourceFilter": "is called by its methods, see the test of its own",
    "GriffinLim": "rounding sends its phases elsewhere; its magnitudes are `MelInverse`",
    "SingleBlock": "works in place; `HiFiGAN` is made of them",
    "DoubleBlock": "works in place; `HiFiGAN` is made of them",
    "DynamicInt8Linear": "is of eight bits itself, and of streams alone",
    "UnrolledDepthwiseConv": "is of streams alone",
    "CachedSpeaker": "is of pieces and streams alone, and asks a speaker part",
}


def parts() -> set[str]:
    """Names of all modules of the packages under test."""
    found: set[str] = set()
    for package in PACKAGES:
        path = importlib.import_module(f"voiceae.{package}").__path__
        for each in pkgutil.walk_packages(path, f"voiceae.{package}."):
            classes = inspect.getmembers(importlib.import_module(each.name), inspect.isclass)
            found |= {
                name for name, kind in classes if issubclass(kind, nn.Module) and kind.__module__ == each.name
            }
    return found


@dataclass
class Call:
    part: nn.Module
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    result: Any


def calls_within(module: nn.Module, run: Callable[[], object]) -> list[Call]:
    """What each of our parts of a module is asked, and answers in float32, while something runs."""
    calls: list[Call] = []
    hooks = [
        part.register_forward_hook(lambda *call: calls.append(Call(*call)), with_kwargs=True)
        for part in module.modules()
        if type(part).__module__.startswith("voiceae.")
    ]
    run()
    for hook in hooks:
        hook.remove()
    assert calls
    return calls


def systems() -> Iterator[tuple[nn.Module, Callable[[], object]]]:
    """Every system of the literature at a size for tests."""
    _, mel, mask = speech()
    for name in SMALL:
        model = small_system(name).eval()
        model.set_statistics(torch.full((80,), -4.0), torch.full((80,), 2.0))

        def run(model: Any = model) -> None:
            content = model.encode(mel, mask)
            timbre = model.timbre_of(mel, mask)
            octaves = torch.full((4,), 0.2)
            model.decode(content, model.embed(mel, mask), timbre=timbre, mask=mask, octaves=octaves)

        yield model, run


def others() -> Iterator[tuple[nn.Module, Callable[[], object]]]:
    """What is no part of a system: judges, losses, vocoders, and what makes targets."""
    torch.manual_seed(0)
    wav, mel, mask = speech()
    scaled, made = (mel + 4) / 2, wav + 0.02 * torch.randn_like(wav)
    generator = torch.Generator().manual_seed(0)
    units, voice = torch.randn(4, 8, 24), torch.nn.functional.normalize(torch.randn(4, 16), dim=-1)
    coarse = mask[:, ::4]
    vocoder: Any = modelfile.load(ASSETS / "vocoder.safetensors", kind="vocoder").module
    perturbation, channel = VocalTractPerturbation(SPEC), ChannelPerturbation(SPEC)
    change_of_voice = perturbation.draw(4, generator)
    upsampling = {
        "upsample_initial_channel": 16,
        "upsample_rates": [8, 8, 4],
        "upsample_kernel_sizes": [16, 16, 8],
    }
    kernels = {"resblock_kernel_sizes": [3, 5]}
    generators = [
        HiFiGAN(spec=SPEC, **upsampling, **kernels, resblock="1", resblock_dilation_sizes=[[1, 3, 5]] * 2),
        HiFiGAN(spec=SPEC, **upsampling, **kernels, resblock="2", resblock_dilation_sizes=[[1, 2]] * 2),
    ]
    club, griffin_lim = CLUBEstimator(x_dim=16, y_dim=8, hidden=32), GriffinLim(SPEC)
    made_by: list[tuple[nn.Module, tuple[Any, ...]]] = [
        (MelDiscriminator(n_mels=80, speaker_dim=16, channels=16), (scaled, voice, mask)),
        (PatchDiscriminator(n_mels=80, n_speakers=3, channels=16), (scaled, mask)),
        (CodeClassifier(dim=8, n_speakers=3, channels=16), (units, coarse)),
        (WaveDiscriminators(sizes=[512], periods=[2, 3], channels=4), (wav,)),
        (club, (voice[:, None], units.transpose(1, 2), coarse)),
        (CPCLoss(dim=8, hidden=16, prediction_steps=3), (units, coarse)),
        (
            MultiResolutionSTFTLoss(fft_sizes=[256, 1024], sample_rate=SPEC.sample_rate, f_max=SPEC.f_max),
            (made, wav),
        ),
        (LogMel(SPEC), (wav,)),
        (perturbation, (mel, change_of_voice)),
        (channel, (mel, channel.draw(4, mel.shape[-1], generator))),
        *((each, (mel,)) for each in generators),
        (griffin_lim, (mel,)),
    ]
    timbre = TimbreEncoder(n_mels=80, channels=8, dim=12)
    lookup = TimbreAttention(channels=16, dim=12)
    nn.init.normal_(lookup.leave.weight, std=0.1)  # it begins at zero
    made_by += [
        (timbre, (scaled, units, mask)),
        (lookup, (torch.randn(4, 24, 16), timbre(scaled, units, mask))),
    ]
    for module, arguments in made_by:
        yield module.eval(), lambda module=module, arguments=arguments: module(*arguments)
    yield vocoder.eval(), lambda: vocoder.synthesise(mel)


@torch.no_grad()
def test_every_part_is_near_itself_under_autocast() -> None:
    """Each given, one at a time, what it is given in float32."""
    seen: dict[str, float] = defaultdict(float)
    for module, run in (*systems(), *others()):
        for call in calls_within(module, run):
            name = type(call.part).__name__
            if name in USED_WHERE:
                continue
            with half():
                again = call.part(*call.arguments, **call.options)
            pairs = list(zip(tensors(again), tensors(call.result), strict=True))
            worst = max((change(ours, wanted) for ours, wanted in pairs if wanted.numel()), default=0.0)
            seen[name] = max(seen[name], worst)
    assert parts() - set(seen) - set(USED_WHERE) == set()
    far = {name: worst for name, worst in seen.items() if not worst <= EXACT.get(name, NEAR)}
    assert not far, f"{far} of {dict(seen)}"


class Pooled(SpeakerPart):
    """A recogniser without weights: what is told from it is told as finely as it is given."""

    dim = 80

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        return torch.nn.functional.normalize(mel.mean(-1), dim=-1)


def test_every_loss_is_exact_and_in_float32() -> None:
    """Given features in bfloat16 or not: a loss is a sum of many small numbers."""
    wav, mel, mask = speech()
    torch.manual_seed(0)
    discriminator = MelDiscriminator(n_mels=80, speaker_dim=4, channels=8)
    judges = WaveDiscriminators(sizes=[512], periods=[3], channels=4)
    voice = torch.nn.functional.normalize(torch.randn(64, 16), dim=-1)
    near = torch.nn.functional.normalize(voice + 0.1 * torch.randn(64, 16), dim=-1)
    real, fake = (
        discriminator(each, torch.zeros(4, 4), mask) for each in (mel, mel + 0.1 * torch.randn_like(mel))
    )
    made = wav + 0.02 * torch.randn_like(wav)
    content = small_system("vqmivc").encode(mel, mask)
    table = SpeakerTable(n_speakers=40, dim=4, recogniser=Pooled())
    losses: dict[str, Callable[[], Any]] = {
        "contrastive": lambda: contrastive_loss(voice, near, 15.0),
        "margin": lambda: margin_loss(near, voice, torch.arange(64), margin=0.2, scale=30.0),
        "relation": lambda: relational_loss(voice, near),
        "l1": lambda: reconstruction_loss(mel.bfloat16(), (mel + 0.1).bfloat16(), mask),
        "l2": lambda: reconstruction_loss(mel.bfloat16(), (mel + 0.1).bfloat16(), None, "l2"),
        "discriminator": lambda: mel_discriminator_loss(real, [fake]),
        "adversarial": lambda: mel_adversarial_loss(fake),
        "feature matching": lambda: feature_matching_loss(real, fake),
        "contour": lambda: pitch_contour(content, 36, mask, 4),
        "speaker_recognition": lambda: table.recognise(mel, mask),
        "moments": lambda: match_moments(mel, *active_moments(mel[[1, 0, 3, 2]])),
    }
    for name, loss in losses.items():
        wanted = loss()
        with half():
            given = loss()
        assert given.dtype == torch.float32, name
        assert change(given, wanted) < 1e-5, name
    with half():  # whose networks are in bfloat16
        for name, value in {
            **wave_adversarial_losses(judges, made, wav),
            "": wave_discriminator_loss(judges, made, wav),
        }.items():
            assert value.dtype == torch.float32, name


@torch.no_grad()
def test_the_vocoder_says_the_same_under_autocast() -> None:
    wav, mel, _ = speech()
    vocoder: Any = modelfile.load(ASSETS / "vocoder.safetensors", kind="vocoder").module.eval()
    loss = MultiResolutionSTFTLoss(
        fft_sizes=[256, 512, 1024, 2048], sample_rate=SPEC.sample_rate, f_max=SPEC.f_max
    )
    exact = vocoder.synthesise(mel)
    with half():
        made = vocoder.synthesise(mel)
        spectra = vocoder.spectra(mel, exact.f0)
    assert change(spectra, vocoder.spectra(mel, exact.f0)) < 0.02
    transform = LogMel(SPEC)
    assert float((transform(made.wav) - transform(exact.wav)).abs().mean()) < 0.03  # nats
    # Processors round products of bfloat16 differently: off by 0.1 % with AMX, by 0.9 % with AVX512_BF16 alone.
    assert float(loss(made.wav, wav)) == pytest.approx(float(loss(exact.wav, wav)), rel=0.015)


@pytest.mark.parametrize("name", SMALL)
def test_a_step_has_the_losses_of_float32(name: str) -> None:
    """Of a training with its draws, up to what rounding does to networks at random weights."""
    _, mel, mask = speech()
    options = dict(config(name)["loss"])
    kind: Any = modelfile.find_class(options.pop("_target_"))
    voice = torch.tensor([0, 0, 1, 1])
    batch = Batch(
        mel=mel, mask=mask, reference=mel.flip(-1), reference_mask=mask.flip(-1), speaker=voice, index=voice
    )

    def losses() -> dict[str, Tensor]:
        model = small_system(name).train()
        model.set_statistics(torch.full((80,), -4.0), torch.full((80,), 2.0))
        if "speaker_from" in options:
            objective = kind(
                model=model, **{key: value for key, value in options.items() if key != "speaker_from"}
            )
        else:
            objective = kind.configured(model, SimpleNamespace(spec=SPEC, speakers=["a", "b", "c"]), options)
        return dict(objective(batch, 0, torch.Generator().manual_seed(0)).losses)

    wanted = losses()
    with half():
        given = losses()
    assert set(given) == set(wanted)
    for loss, value in given.items():
        assert value.dtype == torch.float32, loss
        assert float(value) == pytest.approx(float(wanted[loss]), rel=0.03, abs=1e-4), loss
