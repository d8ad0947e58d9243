"""The diagnosis of a model: clips are read once, and every area looks at the readings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from voiceae.data.store import FeatureStore
from voiceae.errors import ModelFileError
from voiceae.evaluation.diagnosis.collapse import find_aggregate, find_codebook, find_collapse
from voiceae.evaluation.diagnosis.leakage import find_leakage
from voiceae.evaluation.diagnosis.readings import QUICK, Size, Watch, draw_clips, embed, held_out_clips, read
from voiceae.evaluation.diagnosis.speaker_space import find_spoken, find_voices
from voiceae.evaluation.diagnosis.verdicts import Finding, Verdict, worst
from voiceae.io.filesystem import atomic_path
from voiceae.models import Autoencoder, Discrete

FORMAT = 1


@dataclass(frozen=True)
class Diagnosis:
    """All findings.

    Attributes:
        findings: one an area.
        about: what was diagnosed, on what, with which seed.
    """

    findings: tuple[Finding, ...]
    about: Mapping[str, Any]

    @property
    def verdict(self) -> Verdict:
        """The worst of all areas."""
        return worst(finding.verdict for finding in self.findings)

    def area(self, name: str) -> Finding:
        """Finding of one area.

        Raises:
            KeyError: when the model has no such area.
        """
        return {finding.area: finding for finding in self.findings}[name]

    def save(self, path: Path) -> None:
        """Write everything as JSON.

        Raises:
            OutputError: when it cannot be written.
        """
        areas = {finding.area: finding.to_dict() for finding in self.findings}
        whole = {"format": FORMAT, "verdict": str(self.verdict), "about": dict(self.about), "areas": areas}
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(whole, indent=1), encoding="utf-8")


def diagnose(
    model: nn.Module,
    store: FeatureStore,
    *,
    seed: int = 0,
    quick: bool = False,
    about: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
) -> Diagnosis:
    """Look for collapse, leakage and what else goes wrong unseen.

    Args:
        model: an autoencoder on the CPU; it is left in evaluation mode.
        store: of the model's mel contract, with speech of its training and of held-out speakers.
        seed: of everything that is drawn.
        quick: a quarter of the speakers and half of each clip.
        about: further words on what is diagnosed.
        watch: shows how far it is.

    Raises:
        ModelFileError: when the model is no autoencoder.
        StoreError: when the store has too few speakers.
    """
    if not isinstance(model, Autoencoder):
        raise ModelFileError(f"{type(model).__name__}: is no autoencoder; only those can be diagnosed")
    size, rng = QUICK if quick else Size(), np.random.default_rng(seed)
    model, watch = model.eval(), watch or _unwatched
    clips, others = draw_clips(store, size, rng), held_out_clips(store, size, rng)
    readings = read(model, clips, watch)
    generator = torch.Generator().manual_seed(seed)
    findings = [find_collapse(model, clips, readings, generator, watch)]
    findings.append(find_leakage(readings, clips, seed, watch))
    if readings.log_variance is not None:
        findings.append(find_aggregate(readings, findings[0].figures["kl_nats"], generator))
    if readings.codes is not None and isinstance(model.bottleneck, Discrete):
        codes, rate = model.bottleneck, store.spec.frame_rate / model.rate
        findings.append(find_codebook(readings, codes.size, rate, combines=codes.combines))
    heard = readings.speaker if others is None else embed(model, others, watch)
    findings.append(find_voices(heard, (others or clips).speaker, held_out=others is not None))
    findings.append(find_spoken(readings, clips, findings[0].figures["reconstruction"], rng))
    sizes = {"speakers": len(clips.speakers), "clips_each": clips.per_speaker, "at_most": asdict(size)}
    said = {**(about or {}), "store": store.path.name, "seed": seed, "quick": quick, **sizes}
    return Diagnosis(tuple(findings), said)


def _unwatched(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
    return items
