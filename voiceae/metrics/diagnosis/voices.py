"""The speaker space: whether it tells voices apart that training never heard."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from voiceae.metrics.diagnosis.verdicts import Finding, Verdict, grade, worst
from voiceae.metrics.statistics import equal_error

EER_WARNING, EER_FAILED = 0.15, 0.35  # 0.5 is chance
FEWEST_PAIRS = 10


def find_voices(vectors: Tensor, speaker: Tensor, *, held_out: bool) -> Finding:
    """Equal error rate over all pairs of clips, and accuracy of the nearest other clip.

    Args:
        vectors: (U, S).
        speaker: (U,).
        held_out: whether training never heard these speakers.
    """
    unit = functional.normalize(vectors.double(), dim=-1)
    cosine = unit @ unit.T
    same = speaker[:, None] == speaker
    pairs = torch.ones_like(same).triu(1)
    right, wrong = cosine[pairs & same].numpy(), cosine[pairs & ~same].numpy()
    error = equal_error(right, wrong)
    nearest = cosine.fill_diagonal_(-2).argmax(-1)
    accuracy = float((speaker[nearest] == speaker).double().mean())
    verdict = grade(error.rate, EER_WARNING, EER_FAILED)
    where = "held-out" if held_out else "training"
    if not held_out or len(right) < FEWEST_PAIRS:
        verdict = worst([verdict, Verdict.WARNING])
    says = {
        Verdict.OK: "the speaker space tells voices apart",
        Verdict.WARNING: "the speaker space tells voices apart only roughly",
        Verdict.FAILED: "the speaker space does not tell voices apart",
    }[grade(error.rate, EER_WARNING, EER_FAILED)]
    count = len(speaker.unique())
    note = "" if held_out else "; the store holds out no two speakers, so nothing is known of new voices"
    return Finding(
        area="speakers",
        verdict=verdict,
        reason=(
            f"{says}; equal error rate {error.rate:.1%} over {len(speaker)} clips of {count} {where} speakers, "
            f"the nearest other clip is of the same speaker for {accuracy:.0%}{note}"
        ),
        figures={
            "split": where,
            "speakers": count,
            "clips": len(speaker),
            "equal_error_rate": error.rate,
            "threshold": error.threshold,
            "nearest_neighbour_accuracy": accuracy,
            "cosine_same": float(right.mean()),
            "cosine_different": float(wrong.mean()),
        },
        series={
            "same": np.histogram(right, np.linspace(-1, 1, 41), density=True)[0],
            "different": np.histogram(wrong, np.linspace(-1, 1, 41), density=True)[0],
        },
    )
