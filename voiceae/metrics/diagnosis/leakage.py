"""Leakage: how well fresh probes tell the speaker from codes that should not say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from voiceae.metrics.diagnosis.clips import Clips
from voiceae.metrics.diagnosis.probes import PROBES, Evidence, Probe, probe_accuracy
from voiceae.metrics.diagnosis.readings import Readings, Watch
from voiceae.metrics.diagnosis.verdicts import Finding, Verdict, grade

# On the scale of `leaked_share`; beside them what they are among 170 speakers.
WARNING, FAILED = 0.45, 0.58  # 10 and 20 times chance
ALIVE = 0.66  # 30 times chance: what probes must reach where the voice is plain, on the mel
UNLIKELY_DEVIATIONS = 4.0


@dataclass(frozen=True)
class Suspect:
    """Something to be probed.

    Attributes:
        name: as reported.
        evidence: of all clips.
        labels: (U,).
    """

    name: str
    evidence: Evidence
    labels: Tensor


def leaked_share(accuracy: float, speakers: int) -> float:
    """Times chance on a logarithmic scale that does not depend on how many speakers: 0 chance, 1 all are told."""
    return math.log(max(accuracy, 1e-9) * speakers) / math.log(speakers)


def find_leakage(readings: Readings, clips: Clips, seed: int, watch: Watch) -> Finding:
    """Probe the codes, the mel, and the codes with shuffled labels; of several probes the worst counts.

    Of a Gaussian posterior both its means are probed, which conversion uses, and what is drawn from it, as the decoder
    was given in training; the latter decide, and a voice that is plain only in the means is worth a warning. Probes
    see it there however far it lies below the noise that the decoder has learned to disregard.
    """
    tasks = [(suspect, probe) for suspect in _suspects(readings, clips, seed) for probe in PROBES]
    accuracy: dict[str, dict[str, float]] = {}
    for suspect, probe in watch(tasks, len(tasks), "probing"):
        accuracy.setdefault(suspect.name, {})[probe.name] = _accuracy(suspect, probe, clips, seed)
    speakers, trials = len(clips.speakers), len(clips.rows("held"))
    worst = {name: max(scores.values()) for name, scores in accuracy.items()}
    verdict, reason = _judge(worst, speakers, trials)
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


def _suspects(readings: Readings, clips: Clips, seed: int) -> Iterator[Suspect]:
    codes = Evidence.of(readings.units, readings.mask, clips)
    order = torch.randperm(len(clips.speaker), generator=torch.Generator().manual_seed(seed))
    yield Suspect("codes", codes, clips.speaker)
    if readings.log_variance is not None:
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(readings.units.shape, generator=generator)
        sampled = readings.units + noise * (0.5 * readings.log_variance).exp()
        yield Suspect("sampled", Evidence.of(sampled, readings.mask, clips), clips.speaker)
    yield Suspect("mel", Evidence.of(readings.mel, readings.mask, clips), clips.speaker)
    yield Suspect("shuffled", codes, clips.speaker[order])


def _accuracy(suspect: Suspect, probe: Probe, clips: Clips, seed: int) -> float:
    return probe_accuracy(probe, suspect.evidence, suspect.labels, clips, seed)


def _judge(worst: dict[str, float], speakers: int, trials: int) -> tuple[Verdict, str]:
    chance = 1 / speakers
    noise = math.sqrt(chance * (1 - chance) / trials)
    if worst["shuffled"] > chance + UNLIKELY_DEVIATIONS * noise + 1 / trials:
        return Verdict.FAILED, (
            f"with shuffled labels a probe still scores {worst['shuffled'] * speakers:.1f} times chance, "
            "so its scores mean nothing: the clips of one speaker repeat"
        )
    if leaked_share(worst["mel"], speakers) < ALIVE:
        return Verdict.WARNING, (
            f"on the mel itself the probes score only {worst['mel'] * speakers:.1f} times chance, "
            "so this store cannot show a leak"
        )
    heard = "sampled" if "sampled" in worst else "codes"
    verdict = grade(leaked_share(worst[heard], speakers), WARNING, FAILED)
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
    others = [f"{worst[name] * speakers:.1f} {where}" for name, where in beside.items() if name != heard]
    return verdict, (
        f"{says}; the best probe scores {worst[heard] * speakers:.1f} times chance among {speakers} speakers "
        f"({', '.join(others)})"
    )
