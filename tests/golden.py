"""Three steps of a training whose every number comes from numpy, so that another torch or processor gives the same."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from voiceae.data.crops import Batch
from voiceae.data.store import FeatureStore
from voiceae.data.waves import WaveBatch
from voiceae.dsp.mel import LogMel
from voiceae.specs import AudioSpec
from voiceae.training.loop import Training
from voiceae.training.run import build_objective
from voiceae.training.settings import Settings

ITEMS, SPEAKERS = 4, 3


def stream(*key: object) -> np.random.RandomState:
    """Numbers that belong to a key; of numpy's generators this is the one whose streams are frozen for good."""
    return np.random.RandomState(zlib.crc32(repr(key).encode()))


@contextmanager
def numpy_chance(purpose: object) -> Iterator[None]:
    """Let everything that torch draws inside the block come from numpy, whatever generator it is drawn with.

    A draw depends on what is drawn, on its shape and on how many of the kind came before, but not on draws of other
    kinds or shapes in between: code may draw in another order, or earlier, without changing a number.
    """
    seen: Counter[tuple[object, ...]] = Counter()

    def draws(kind: str, shape: Sequence[int]) -> np.random.RandomState:
        key = (purpose, kind, *shape)
        seen[key] += 1
        return stream(*key, seen[key])

    def tensor(values: Any, options: dict[str, Any], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.tensor(values, dtype=options.get("dtype") or dtype, device=options.get("device"))

    def apart(rng: np.random.RandomState, count: int) -> Any:
        """Uniform, and evenly spread: no two codes begin at one place, between which rounding would have to choose."""
        return (rng.permutation(count) + rng.random_sample(count)) / count

    def shape_of(size: tuple[Any, ...]) -> tuple[int, ...]:
        given = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
        return tuple(map(int, given))

    def rand(*size: Any, **options: Any) -> Tensor:
        shape = shape_of(size)
        rng = draws("rand", shape)
        if len(shape) == 1:
            return tensor(apart(rng, *shape), options)
        return tensor(rng.random_sample(shape), options)

    def randn(*size: Any, **options: Any) -> Tensor:
        shape = shape_of(size)
        return tensor(draws("randn", shape).standard_normal(shape), options)

    def randint(*bounds: Any, **options: Any) -> Tensor:
        *limits, size = (*bounds, *([options["size"]] if "size" in options else []))
        low, high = (0, *limits)[-2:]
        shape = tuple(size)
        return tensor(draws("randint", shape).randint(low, high, shape), options, torch.int64)

    def bernoulli(share: Tensor, **options: Any) -> Tensor:
        uniform = draws("bernoulli", share.shape).random_sample(tuple(share.shape))
        return (tensor(uniform, {}) < share).to(share.dtype)

    def multinomial(weights: Tensor, count: int, replacement: bool = False, **options: Any) -> Tensor:
        assert replacement and weights.ndim == 1
        total = weights.double().cumsum(0)
        uniform = apart(draws("multinomial", (len(weights), count)), count)
        return torch.searchsorted(total, torch.tensor(uniform) * total[-1], right=True)

    def exponential(self: Tensor, lambd: float = 1.0, **options: Any) -> Tensor:
        values = draws("exponential", self.shape).standard_exponential(tuple(self.shape)) / lambd
        return self.copy_(tensor(values, {}))

    with ExitStack() as patches:
        for name, own in (
            *(("rand", rand), ("randn", randn), ("randint", randint)),
            *(("bernoulli", bernoulli), ("multinomial", multinomial)),
        ):
            patches.enter_context(patch.object(torch, name, own))
        patches.enter_context(patch.object(Tensor, "exponential_", exponential))
        yield


@torch.no_grad()
def set_weights(module: nn.Module, seed: object = 0) -> None:
    """Give every parameter values by its name: matrices by their fan-in, vectors near what they begin with."""
    for name, weight in module.named_parameters():
        values = torch.tensor(stream(seed, name, *weight.shape).standard_normal(tuple(weight.shape))).float()
        if weight.ndim > 1:
            weight.copy_(values / math.sqrt(weight[0].numel()))
        else:  # around what all of them begin with (gains), or else around 0 (biases)
            alike = weight.ndim == 0 or (len(weight) > 1 and bool((weight == weight[0]).all()))
            weight.copy_((weight if alike else 0.0) + 0.1 * values)


def mels(key: object, items: int, frames: int, spec: AudioSpec) -> Tensor:
    """Something like log-mels of speech: harmonics that move, syllables and noise: (items, M, frames)."""
    rng = stream("mel", key, items, frames)
    bins, time = np.arange(spec.n_mels)[None, :, None], np.arange(frames)[None, None]
    phase = rng.uniform(0, 2 * np.pi, (3, items, 1, 1))
    height = rng.uniform(4, 8, (items, 1, 1))
    harmonics = np.cos(2 * np.pi * bins / height + 0.5 * np.sin(time / 7 + phase[0]))
    syllables = np.sin(time / 5 + phase[1]) - bins / 40 + np.sin(bins / 9 + phase[2])
    noise = rng.standard_normal((items, spec.n_mels, frames))
    return torch.tensor(harmonics + syllables + 0.3 * noise - 5).float()


def batch(step: int, spec: AudioSpec, frames: int = 32) -> Batch:
    """Crops of three speakers, the first one padded as a store's are."""
    mask = torch.ones(ITEMS, frames, dtype=torch.bool)
    mask[0, frames - 12 :] = False
    mel = mels(step, ITEMS, frames, spec)
    return Batch(
        mel=torch.where(mask[:, None], mel, math.log(spec.log_floor)),
        mask=mask,
        reference=mels((step, "reference"), ITEMS, frames + 4, spec),
        reference_mask=torch.ones(ITEMS, frames + 4, dtype=torch.bool),
        speaker=torch.arange(ITEMS) % SPEAKERS,
        index=torch.arange(ITEMS),
    )


def wave_batch(step: int, spec: AudioSpec, frames: int = 32) -> WaveBatch:
    """The same with waves, of which the mels are: buzzes that glide, and breath."""
    silent = batch(step, spec, frames)
    rng = stream("wave", step)
    samples = frames * spec.hop_length
    time = np.arange(samples) / spec.sample_rate
    f0 = rng.uniform(100, 220, (ITEMS, 1)) * (1 + 0.1 * np.sin(9 * time))
    phase = 2 * np.pi * np.cumsum(f0, axis=-1) / spec.sample_rate
    buzz = sum(np.cos(k * phase) / k for k in range(1, 16))
    breath = rng.standard_normal((ITEMS, samples))
    voiced = np.repeat(np.arange(frames) % 16 < 11, spec.hop_length)
    wav = torch.tensor(0.1 * np.where(voiced, buzz, 0) + 0.01 * breath).float()
    wav = wav * silent.mask.repeat_interleave(spec.hop_length, dim=1)
    mel = LogMel(spec)(wav)[..., :frames]
    mel = torch.where(silent.mask[:, None], mel, math.log(spec.log_floor))
    band = torch.tensor([8000.0, spec.sample_rate / 2]).repeat(ITEMS)[:ITEMS]
    return WaveBatch(**{**vars(silent), "mel": mel}, wav=wav, band=band)


class OneProcess:
    """As much of a `Fabric` as a training in one process asks for.

    Args:
        device: that it trains on.
        backward: of a loss.
    """

    world_size, global_rank, is_global_zero = 1, 0, True

    def __init__(
        self, device: torch.device | str = "cpu", backward: Callable[[Tensor], Any] = Tensor.backward
    ) -> None:
        self.device, self.backward = torch.device(device), backward
        self.strategy = SimpleNamespace(setup_module=lambda module: module)

    def to_device(self, module: nn.Module) -> nn.Module:
        return module.to(self.device)

    def broadcast(self, value: Any) -> Any:
        return value


def steps(settings: Settings, count: int, batch_of: Callable[[int, AudioSpec], Batch]) -> dict[str, float]:
    """What `count` steps log, and how far the weights have come by then, by step and name."""
    store = FeatureStore.open(settings.data.store)
    settings = settings.for_speakers(SPEAKERS)
    figures: dict[str, float] = {}
    with numpy_chance(settings.name):
        objective, _ = build_objective(settings, store)
        set_weights(objective)
        module = Training(objective, store, settings, OneProcess())  # type: ignore[arg-type]
        drawn = SimpleNamespace(batch=lambda step, *_: batch_of(step, store.spec))
        module.crops_of = lambda *_: drawn  # type: ignore[method-assign, assignment, return-value]
        module.start()
        before = {name: weight.detach().clone() for name, weight in objective.named_parameters()}
        for step in range(count):
            module.train_step()
            logged = module.meter.means(lambda values: values)
            module.meter.clear()
            figures |= {f"{step}/{name}": float(value.norm()) for name, value in logged.items()}
            figures[f"{step}/learning_rate"] = module.learning_rate
    figures |= {
        f"moved/{name}": value
        for name, value in distances(before, dict(objective.named_parameters())).items()
    }
    averages = zip(module.averages.weights, module.averages.values, strict=True)
    figures["averages"] = math.sqrt(sum(float((weight - value).square().sum()) for weight, value in averages))
    return {name: value for name, value in sorted(figures.items()) if "grad" not in name or value != 0}


def distances(before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, float]:
    """How far each part has come: of weights by name, by the first two levels of their names."""
    squares: Counter[str] = Counter()
    for name, weight in after.items():
        part = ".".join(name.split(".")[:2])
        squares[part] += float((weight.detach() - before[name]).square().sum())  # type: ignore[assignment]
    return {part: math.sqrt(value) for part, value in squares.items()}


def worst(figures: dict[str, float], golden: dict[str, float], absolute: float = 1e-6) -> tuple[float, str]:
    """The largest relative difference, and whose it is; infinite where the names differ."""
    if figures.keys() != golden.keys():
        return math.inf, ", ".join(sorted(figures.keys() ^ golden.keys()))
    return max(
        (abs(figures[name] - value) / max(abs(value), absolute / 1e-3), name)
        for name, value in golden.items()
    )
