"""Clips drawn from a store with a seed, and what a model encodes them to: codes, posteriors, speaker vectors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from voiceae.data.corpora import TRAIN, VALID_SPEAKERS, VALID_UTTERANCES
from voiceae.data.store import FeatureStore, Utterance
from voiceae.errors import StoreError
from voiceae.evaluation.scoring import Progress
from voiceae.models import Autoencoder, GaussianBottleneck
from voiceae.nn.layers import downsample_mask

MIN_SPEAKERS, MIN_CLIPS = 4, 5  # a probe needs clips to fit, to stop by and to score, of several speakers


@dataclass(frozen=True, kw_only=True)
class Size:
    """Upper bounds on the speech that is diagnosed with.

    Attributes:
        speakers: at most.
        clips: of each, at most; a fifth is held out.
        seconds: of each clip, at most.
    """

    speakers: int = 170  # the thresholds of leakage were measured with so many; more only take longer
    clips: int = 20
    seconds: float = 3.0


QUICK = Size(speakers=40, clips=15, seconds=1.5)


@dataclass(frozen=True)
class Clips:
    """Clips cut to length, speaker after speaker, `per_speaker` each.

    Attributes:
        mel: (U, T, M) float16, zero behind the end of a short clip.
        mask: (U, T) bool.
        speakers: names.
        per_speaker: clips of each; 0 where they differ.
        speaker: (U,) index among `speakers`.
    """

    mel: Tensor
    mask: Tensor
    speakers: Sequence[str]
    per_speaker: int
    speaker: Tensor

    @property
    def held(self) -> int:
        """Number of a speaker's last clips, which are kept for scoring."""
        return max(1, self.per_speaker // 5)

    @property
    def check(self) -> int:
        """Number of clips before those, which tell a fit when to stop."""
        return max(1, self.per_speaker // 6)

    def rows(self, part: str) -> Tensor:
        """Rows of the `fit`, `check` or `held` clips of all speakers, speaker after speaker."""
        scored = self.per_speaker - self.held
        fitted = scored - self.check
        bounds = {"fit": (0, fitted), "check": (fitted, scored), "held": (scored, self.per_speaker)}
        first, last = bounds[part]
        return torch.arange(len(self.speaker)).view(-1, self.per_speaker)[:, first:last].flatten()


def draw_training_clips(store: FeatureStore, size: Size, rng: np.random.Generator) -> Clips:
    """Balanced clips of the training speakers: of the number of clips each, that which keeps the most clips.

    Args:
        store: their training utterances and those held out of training are used alike.
        size: upper bounds.
        rng: of speakers, utterances, their order, and the place of the cut.

    Raises:
        StoreError: when fewer than four speakers have five utterances.
    """
    known = _by_speaker(u for u in store.utterances if u.split in (TRAIN, VALID_UTTERANCES))
    counts = np.array([len(each) for each in known.values()])
    kept = {n: n * min(int((counts >= n).sum()), size.speakers) for n in range(MIN_CLIPS, size.clips + 1)}
    able = {n: clips for n, clips in kept.items() if clips >= MIN_SPEAKERS * n}
    if not able:
        raise StoreError(
            f"{store.path}: {int((counts >= MIN_CLIPS).sum())} training speakers with {MIN_CLIPS} utterances; "
            f"a diagnosis needs {MIN_SPEAKERS}; give a store with more speech"
        )
    per_speaker = max(able, key=lambda n: (able[n], n))
    names = [name for name, each in known.items() if len(each) >= per_speaker]
    names = sorted(rng.permutation(names)[: size.speakers].tolist())
    rows = [known[name][i] for name in names for i in rng.permutation(len(known[name]))[:per_speaker]]
    return _cut(store, rows, size, rng, per_speaker)


def draw_held_out_clips(store: FeatureStore, size: Size, rng: np.random.Generator) -> Clips | None:
    """Clips of the held-out speakers that have at least two, or None when fewer than two do."""
    known = _by_speaker(store.split(VALID_SPEAKERS))
    names = [name for name, each in known.items() if len(each) > 1][: size.speakers]
    rows = [known[name][i] for name in names for i in rng.permutation(len(known[name]))[: size.clips]]
    return _cut(store, rows, size, rng, 0) if len(names) > 1 else None


def _by_speaker(utterances: Iterable[Utterance]) -> dict[str, list[Utterance]]:
    found: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        found[utterance.speaker].append(utterance)
    return dict(sorted(found.items()))


def _cut(
    store: FeatureStore, rows: Sequence[Utterance], size: Size, rng: np.random.Generator, per_speaker: int
) -> Clips:
    frames = min(store.spec.seconds_to_frames(size.seconds), max(u.frames for u in rows))
    # Silence behind the end of short clips; half precision halves the memory of what a store holds in it anyhow.
    mel = np.full((len(rows), frames, store.spec.n_mels), np.log(store.spec.log_floor), np.float16)
    lengths = torch.tensor([min(u.frames, frames) for u in rows])
    for row, (utterance, length) in enumerate(zip(rows, lengths.tolist(), strict=True)):
        start = int(rng.integers(utterance.frames - length + 1))
        mel[row, :length] = store.mel(utterance.index)[start : start + length]
    names = sorted({u.speaker for u in rows})
    speaker = torch.tensor([names.index(u.speaker) for u in rows])
    mask = torch.arange(frames) < lengths[:, None]
    return Clips(torch.from_numpy(mel), mask, names, per_speaker, speaker)


BATCH = 32  # clips at a time; the memory goes by it, no figure does


@dataclass(frozen=True)
class EncodedClips:
    """What a model makes of clips, time-major.

    Attributes:
        units: (U, T', D) what the decoder is given.
        mask: (U, T') code frames that count.
        log_variance: (U, T', D) of a Gaussian posterior whose mean is `units`.
        codes: (U, T') of a discrete bottleneck.
        speaker: (U, S).
        mel: (U, T', M) log-mel averaged to the rate of the codes.
    """

    units: Tensor
    mask: Tensor
    log_variance: Tensor | None
    codes: Tensor | None
    speaker: Tensor
    mel: Tensor

    def frames(self, values: Tensor) -> Tensor:
        """The valid code frames of all clips: (U, T', X) -> (n, X)."""
        return values[self.mask]


@torch.inference_mode()
def encode_clips(model: Autoencoder, clips: Clips, progress: Progress) -> EncodedClips:
    """Encode every clip and embed its speaker."""
    parts = []
    for rows in _batches(clips, progress):
        mel, mask = batch(clips, rows)
        coarse, bottleneck = downsample_mask(mask, model.rate), model.bottleneck
        features = model.content(model.normalise(mel), mask)
        passed = bottleneck(features, coarse)
        spread = bottleneck.posterior(features)[1] if isinstance(bottleneck, GaussianBottleneck) else None
        # The mel at the rate of the codes: mean of every `rate` valid frames, (B, ceil(T / rate), M).
        weight, padding = mask[:, None].to(mel.dtype), (0, -mel.shape[-1] % model.rate)
        total, count = (
            functional.pad(x, padding).unflatten(-1, (-1, model.rate)).sum(-1) for x in (mel * weight, weight)
        )
        slow = (total / count.clamp_min(1)).transpose(1, 2)
        units, speaker = passed.units.transpose(1, 2), model.embed(mel, mask)
        parts.append((units, coarse, spread, passed.codes, speaker, slow))
    joined: Any = [None if each[0] is None else torch.cat(each) for each in zip(*parts, strict=True)]
    return EncodedClips(*joined)


@torch.inference_mode()
def embed(model: Autoencoder, clips: Clips, progress: Progress) -> Tensor:
    """Embed the speaker of every clip: -> (U, S)."""
    return torch.cat([model.embed(*batch(clips, rows)) for rows in _batches(clips, progress)])


def batch(clips: Clips, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Some clips as a model takes them: (n,) -> (n, M, T) float32, (n, T)."""
    return clips.mel[rows].float().transpose(1, 2), clips.mask[rows]


def pooled_statistics(frames: Tensor, mask: Tensor) -> Tensor:
    """Mean, log deviation and log deviation of first differences: (U, T, X), (U, T) -> (U, 3 X)."""
    steps, both = frames.diff(dim=1), mask[:, 1:] & mask[:, :-1]
    mean, deviation = _moments(frames, mask)
    return torch.cat([mean, deviation.log(), _moments(steps, both)[1].log()], dim=-1)


def _moments(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    weight = mask[..., None].to(x.dtype)
    count = weight.sum(1).clamp_min(1)
    mean = (x * weight).sum(1) / count
    variance = ((x - mean[:, None]).square() * weight).sum(1) / count
    return mean, (variance + 1e-6).sqrt()  # a channel that never varies has a logarithm too


def _batches(clips: Clips, progress: Progress) -> Iterable[Tensor]:
    rows = torch.arange(len(clips.mel)).split(BATCH)
    return progress(rows, len(rows), "encoding")
