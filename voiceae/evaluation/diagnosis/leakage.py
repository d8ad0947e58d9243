"""Speaker leakage: how well freshly trained probes tell the speaker from the content codes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.evaluation.diagnosis import Finding, Verdict, grade
from voiceae.evaluation.diagnosis.encoded_clips import Clips, EncodedClips, pooled_statistics
from voiceae.evaluation.scoring import Progress

# Small, with much dropout and weight decay, since a probe has only about a dozen clips of a speaker to learn from.
HIDDEN, CHANNELS, HEADS, DROPOUT = 192, 96, 4, 0.3
BATCH, LEARNING_RATE, WEIGHT_DECAY = 128, 3e-3, 0.02
MAX_EPOCHS, PATIENCE = 80, 8


class LinearProbe(nn.Module):
    """A linear classifier of speakers: pooled statistics (U, F) -> logits (U, speakers)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(width, classes))

    def forward(self, statistics: Tensor) -> Tensor:
        """Logits of the speakers: (U, F) -> (U, speakers)."""
        return self.layers(statistics)


class TwoLayerProbe(LinearProbe):
    """A classifier of speakers with one hidden layer: pooled statistics (U, F) -> logits (U, speakers)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__(width, classes)
        self.layers = nn.Sequential(
            nn.Linear(width, HIDDEN), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, classes)
        )


class AttentivePooling(nn.Module):
    """A classifier of speakers with attention over time: frames (U, T', X), mask (U, T') -> logits (U, speakers).

    Attentive statistics pooling (Okabe et al. 2018, arXiv 1803.10963) over a hidden layer that sees three
    frames at a time.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.enter = nn.Linear(3 * width, CHANNELS)
        self.attend = nn.Linear(CHANNELS, HEADS)
        self.leave = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(2 * CHANNELS, classes))

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Logits of the speakers: (U, T', X), (U, T') -> (U, speakers)."""
        # Three frames are put into one: (U, ceil(T' / 3), 3 X), (U, ceil(T' / 3)).
        more = -frames.shape[1] % 3
        wide = functional.pad(frames * mask[..., None], (0, 0, 0, more)).unflatten(1, (-1, 3)).flatten(2)
        mask = functional.pad(mask, (0, more)).unflatten(1, (-1, 3)).any(-1)
        hidden = functional.gelu(self.enter(wide))
        weight = self.attend(hidden).masked_fill(~mask[..., None], float("-inf")).softmax(1)
        by_head = hidden.unflatten(-1, (HEADS, -1))
        mean = (by_head * weight[..., None]).sum(1)
        square = (by_head.square() * weight[..., None]).sum(1)
        deviation = (square - mean.square()).clamp_min(1e-6).sqrt()
        return self.leave(torch.cat([mean, deviation], 1).flatten(1))


@dataclass(frozen=True)
class Probe:
    """A kind of probe, and what it is given.

    Attributes:
        name: as reported.
        make: width of the input, number of speakers -> module.
        frames: whether it is given frames and mask, rather than pooled statistics.
    """

    name: str
    make: Callable[[int, int], nn.Module]
    frames: bool = False


PROBES = (
    Probe("linear", LinearProbe),
    Probe("two-layer", TwoLayerProbe),
    Probe("attention", AttentivePooling, True),
)


@dataclass(frozen=True)
class ProbeInputs:
    """Inputs of the probes, frames and pooled statistics.

    Attributes:
        frames: (U, T', X), each channel of zero mean and unit variance over the clips to fit.
        mask: (U, T').
        statistics: (U, F), scaled alike.
    """

    frames: Tensor
    mask: Tensor
    statistics: Tensor

    @classmethod
    def of(cls, frames: Tensor, mask: Tensor, clips: Clips) -> ProbeInputs:
        """Scale frames by the clips to fit, and pool them."""
        fit = clips.rows("fit")
        statistics = pooled_statistics(frames, mask)
        scaled = _scale(frames, frames[fit][mask[fit]])
        return cls(scaled, mask, _scale(statistics, statistics[fit]))


def probe_accuracy(probe: Probe, evidence: ProbeInputs, labels: Tensor, clips: Clips, seed: int) -> float:
    """Share of held-out clips whose speaker a fresh probe tells; it is trained until it gets no better.

    Args:
        probe: its kind.
        evidence: of all clips.
        labels: (U,) speakers, or what to take for them.
        clips: which to fit, to stop by and to score.
        seed: of weights, dropout and batches.
    """
    inputs = (evidence.frames, evidence.mask) if probe.frames else (evidence.statistics,)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        module = probe.make(inputs[0].shape[-1], int(labels.max()) + 1)
        _train(module, inputs, labels, clips)
    return _score(module, inputs, labels, clips.rows("held"))["accuracy"]


def _train(module: nn.Module, inputs: tuple[Tensor, ...], labels: Tensor, clips: Clips) -> None:
    """AdamW until the clips to stop by are told no better; the best weights stay."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    fit, check = clips.rows("fit"), clips.rows("check")
    best, waited, weights = (-1.0, 0.0), 0, module.state_dict()
    for _ in range(MAX_EPOCHS):
        module.train()
        for rows in fit[torch.randperm(len(fit))].split(BATCH):
            loss = functional.cross_entropy(module(*(x[rows] for x in inputs)), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scores = _score(module, inputs, labels, check)
        now, waited = (scores["accuracy"], -scores["loss"]), waited + 1
        if now > best:
            best, waited, weights = now, 0, copy.deepcopy(module.state_dict())
        if waited >= PATIENCE:
            break
    module.load_state_dict(weights)


@torch.no_grad()
def _score(
    module: nn.Module, inputs: tuple[Tensor, ...], labels: Tensor, rows: Tensor
) -> Mapping[str, float]:
    module.eval()
    logits = torch.cat([module(*(x[some] for x in inputs)) for some in rows.split(BATCH)])
    return {
        "accuracy": (logits.argmax(-1) == labels[rows]).double().mean().item(),
        "loss": functional.cross_entropy(logits, labels[rows]).item(),
    }


def _scale(values: Tensor, sample: Tensor) -> Tensor:
    """Zero mean and unit variance as measured on a sample; what does not vary there is zero."""
    deviation, mean = torch.std_mean(sample, dim=0, correction=0)
    return torch.where(deviation > 1e-5, (values - mean) / deviation.clamp_min(1e-5), 0.0)


# On the scale of `leaked_share`; beside them what they are among 170 speakers.
WARNING, FAILED = 0.45, 0.58  # 10 and 20 times chance
MIN_MEL_SHARE = 0.66  # 30 times chance: what probes must reach where the voice is plain, on the mel
CHANCE_DEVIATIONS = 4.0  # of the binomial law: by chance alone once in 30,000 diagnoses


def leaked_share(accuracy: float, speakers: int) -> float:
    """Times chance on a logarithmic scale that does not depend on how many speakers: 0 chance, 1 all are told."""
    return math.log(max(accuracy, 1e-9) * speakers) / math.log(speakers)


def find_leakage(encoded: EncodedClips, clips: Clips, seed: int, progress: Progress) -> Finding:
    """Probe the codes, the mel, and the codes with shuffled labels; of several probes the worst counts.

    Of a Gaussian posterior both its means are probed, which conversion uses, and what is drawn from it, as the decoder
    was given in training; the latter decide, and a voice that is plain only in the means is worth a warning. Probes
    see it there however far it lies below the noise that the decoder has learned to disregard.
    """
    codes = ProbeInputs.of(encoded.units, encoded.mask, clips)
    probed = {"codes": codes}
    if encoded.log_variance is not None:
        noise = torch.randn(encoded.units.shape, generator=torch.Generator().manual_seed(seed))
        sampled = encoded.units + noise * (0.5 * encoded.log_variance).exp()
        probed["sampled"] = ProbeInputs.of(sampled, encoded.mask, clips)
    probed |= {"mel": ProbeInputs.of(encoded.mel, encoded.mask, clips), "shuffled": codes}
    order = torch.randperm(len(clips.speaker), generator=torch.Generator().manual_seed(seed))
    tasks = [(name, probe) for name in probed for probe in PROBES]
    accuracy: dict[str, dict[str, float]] = {name: {} for name in probed}
    for name, probe in progress(tasks, len(tasks), "probing"):
        labels = clips.speaker[order] if name == "shuffled" else clips.speaker
        accuracy[name][probe.name] = probe_accuracy(probe, probed[name], labels, clips, seed)
    speakers, trials = len(clips.speakers), len(clips.rows("held"))
    worst = {name: max(scores.values()) for name, scores in accuracy.items()}
    verdict, reason = _verdict(worst, speakers, trials)
    figures = {
        "speakers": speakers,
        "clips_to_fit": clips.per_speaker - clips.held,
        "clips_held_out": clips.held,
        "chance": 1 / speakers,
        "accuracy": accuracy,
        "times_chance": {name: speakers * value for name, value in worst.items()},
        "leaked_share": {name: leaked_share(value, speakers) for name, value in worst.items()},
    }
    bars = np.array([list(scores.values()) for scores in accuracy.values()]) * speakers
    return Finding(
        area="leakage", verdict=verdict, reason=reason, figures=figures, series={"times_chance": bars}
    )


def _verdict(worst: dict[str, float], speakers: int, trials: int) -> tuple[Verdict, str]:
    chance = 1 / speakers
    noise = math.sqrt(chance * (1 - chance) / trials)
    if worst["shuffled"] > chance + CHANCE_DEVIATIONS * noise + 1 / trials:
        return Verdict.FAILED, (
            f"with shuffled labels a probe still scores {worst['shuffled'] * speakers:.1f} times chance, "
            "so its scores mean nothing: the clips of one speaker repeat"
        )
    if leaked_share(worst["mel"], speakers) < MIN_MEL_SHARE:
        return Verdict.WARNING, (
            f"on the mel itself the probes score only {worst['mel'] * speakers:.1f} times chance, "
            "so this store cannot show a leak"
        )
    decisive = "sampled" if "sampled" in worst else "codes"
    verdict = grade(leaked_share(worst[decisive], speakers), WARNING, FAILED)
    if verdict is Verdict.OK and leaked_share(worst["codes"], speakers) >= FAILED:
        verdict, mild = Verdict.WARNING, "the means, not what is drawn around them, tell who speaks"
    else:
        mild = "the codes say something of who speaks"
    says = {
        Verdict.OK: "the codes say little of who speaks",
        Verdict.WARNING: mild,
        Verdict.FAILED: "the codes tell who speaks: narrow the bottleneck, or weight its loss more",
    }[verdict]
    beside = {"codes": "on the means", "mel": "on the mel", "shuffled": "with shuffled labels"}
    others = [f"{worst[name] * speakers:.1f} {where}" for name, where in beside.items() if name != decisive]
    return verdict, (
        f"{says}; the best probe scores {worst[decisive] * speakers:.1f} times chance among {speakers} speakers "
        f"({', '.join(others)})"
    )
