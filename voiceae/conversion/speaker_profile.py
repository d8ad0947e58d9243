"""Speaker profile: embedding, frames, median F0 and mel statistics of a voice, and means of several.

Plain numpy, for the runtimes with torch and without.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.dsp.statistics import basis
from voiceae.errors import EmbeddingError
from voiceae.io.audio import as_numbers

Embedding = NDArray[np.float32]

# The Karcher iteration converges linearly, for vectors of one half of the sphere within some ten steps.
_MOST_STEPS, _CONVERGED_RADIANS = 100, 1e-12
_OPPOSITE_RADIANS = 1e-3  # from antipodal, where float32 vectors no longer tell the direction between them
MAX_TIMBRE_TOKENS = 256
"""Frames of a voice that a profile keeps: 12 s of speech, in which every phone of a language is said a few times."""
_CANCELLED = 1e-6  # length of a sum of unit vectors that is nothing but float32 rounding


@dataclass(frozen=True)
class MelStatistics:
    """Per-bin mean and deviation of a voice's active frames, natural-log mel.

    Attributes:
        mean: (M,).
        deviation: (M,).
        frames: how many frames they come from.
        covariance: (Q, Q) of the low cepstra, as `active_covariance` gives it; None where it is not known.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    frames: float
    covariance: NDArray[np.float32] | None = None

    def pack(self) -> NDArray[np.float32]:
        """One row for a table, without the covariance: -> (2 M + 1,)."""
        return np.concatenate((self.mean, self.deviation, [self.frames])).astype(np.float32)

    def pack_covariance(self) -> NDArray[np.float32] | None:
        """A second row, the covariance's upper triangle: -> (Q (Q + 1) / 2,)."""
        return None if self.covariance is None else self.covariance[np.triu_indices(len(self.covariance))]

    @classmethod
    def unpack(
        cls, row: NDArray[np.float32], triangle: NDArray[np.float32] | None = None
    ) -> MelStatistics | None:
        """From the rows that `pack` and `pack_covariance` made; a row of NaN stands for what is not known."""
        if not np.isfinite(row).all():
            return None
        covariance = None
        if triangle is not None and np.isfinite(triangle).all():
            size = (math.isqrt(8 * len(triangle) + 1) - 1) // 2  # of Q (Q + 1) / 2 numbers
            covariance = np.zeros((size, size), np.float32)
            covariance[np.triu_indices(size)] = triangle
            covariance += np.triu(covariance, 1).T
        middle = len(row) // 2
        return cls(row[:middle], row[middle:-1], float(row[-1]), covariance)

    @classmethod
    def pooled(cls, weighted: Sequence[tuple[float, MelStatistics]]) -> MelStatistics | None:
        """Mean by weight, over the voices of positive weight; of covariances only where all are known."""
        kept = [(weight, statistics) for weight, statistics in weighted if weight > 0]
        if not kept:
            return None
        weights = np.array([weight for weight, _ in kept])
        weights /= weights.sum()
        rows = np.stack([statistics.pack() for _, statistics in kept])
        pooled = weights @ rows
        pooled[-1] = rows[:, -1].sum()
        triangles = [each for _, statistics in kept if (each := statistics.pack_covariance()) is not None]
        covariance = weights @ np.stack(triangles) if len(triangles) == len(kept) else None
        return cls.unpack(pooled.astype(np.float32), covariance)


@dataclass(frozen=True)
class SpeakerProfile:
    """Embedding, median F0, mel statistics and frames of a target; made once, it serves for many sources.

    Attributes:
        embedding: (S,), unit length; also what numpy makes of the profile.
        pitch_centre: median F0 in octaves above the model's lowest. None where only an embedding is left of a voice,
            or where it has no F0 that can be relied on (it whispers, creaks, or speaks below the model's range): the
            source's pitch is then left as it is.
        mel_statistics: given to the converted mel; None where they are not known.
        timbre: (K, E) frames as tokens, K at most `MAX_TIMBRE_TOKENS`, in which the decoder looks up how the voice says
            what it is to say. None where only numbers are left of a voice, or the model looks up none: the decoder
            then works from the embedding alone.
    """

    embedding: Embedding
    pitch_centre: float | None = None
    mel_statistics: MelStatistics | None = None
    timbre: NDArray[np.float32] | None = None

    def __array__(self, *arguments: Any, **options: Any) -> NDArray[Any]:
        return np.array(self.embedding, *arguments, **options)

    @classmethod
    def mean(
        cls,
        profiles: Sequence[SpeakerProfile],
        weights: Sequence[float] | None = None,
        *,
        spherical: bool = False,
    ) -> SpeakerProfile:
        """A voice between voices: weighted mean of embeddings, pitch centres and mel statistics, frames in proportion.

        Args:
            profiles: at least one.
            weights: one each, negative ones lead away from a voice; all alike by default.
            spherical: interpolate along the sphere that embeddings lie on rather than straight through it.

        Raises:
            EmbeddingError: when weights and voices do not match, or cancel out.
        """
        if not len(profiles):
            raise EmbeddingError("no voices; give at least one")
        if len(profiles) == 1 and weights is None:
            return profiles[0]
        weights = [1.0] * len(profiles) if weights is None else as_weights(weights, len(profiles))
        embeddings = [each.embedding for each in profiles]
        embedding = spherical_mean(embeddings, weights) if spherical else unit_mean(embeddings, weights)
        pitches = [
            (w, p.pitch_centre) for w, p in zip(weights, profiles, strict=True) if p.pitch_centre is not None
        ]
        total = sum(weight for weight, _ in pitches)
        centre = sum(weight * pitch for weight, pitch in pitches) / total if total > 0 else None
        known = [(w, p.mel_statistics) for w, p in zip(weights, profiles, strict=True) if p.mel_statistics]
        frames = pool_timbre([(w, p.timbre) for w, p in zip(weights, profiles, strict=True)])
        return cls(embedding, centre, MelStatistics.pooled(known), frames)


def pool_timbre(
    weighted: Sequence[tuple[float, NDArray[np.float32] | None]], most: int = MAX_TIMBRE_TOKENS
) -> NDArray[np.float32] | None:
    """Tokens of several voices, as many of each as its weight says: n times (K, E) -> (K', E).

    All that there are of a single voice, up to the most; more are thinned evenly. Of several, a voice with
    too few for its share gives them more than once: what attention finds depends on how many it looks among.

    Args:
        weighted: weights and tokens; a voice without positive weight gives none.
        most: tokens of all of them together.

    Returns:
        None where one of the voices has no tokens: those of the others alone would be another voice.
    """
    weights, kept = [], []
    for weight, tokens in weighted:
        if weight > 0:
            if tokens is None:
                return None
            weights.append(weight)
            kept.append(tokens)
    if not kept:
        return None
    total = min(sum(map(len, kept)), most)
    ends = np.rint(np.cumsum(weights) / sum(weights) * total).astype(int)
    counts = np.diff(ends, prepend=0)
    return np.concatenate([thin_timbre(tokens, count) for tokens, count in zip(kept, counts, strict=True)])


def thin_timbre(tokens: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Some tokens, evenly spaced from the first to the last, or some of them repeated: (K, E) -> (count, E)."""
    # Pauses are thinned like everything else, not left out: those of a source look up how the voice is silent.
    return tokens[((np.arange(count) + 0.5) * len(tokens) / max(count, 1)).astype(int)]


def as_weights(weights: Any, count: int) -> list[float]:
    """One finite number for each of `count` voices, of a sum above zero.

    Raises:
        EmbeddingError: for anything else.
    """
    numbers = as_numbers(weights, "weights", EmbeddingError, "fiub").astype(np.float64)
    if numbers.shape != (count,):
        size = f"{len(numbers)} weights" if numbers.ndim == 1 else f"weights of shape {numbers.shape}"
        raise EmbeddingError(f"{size} for {count} voices; give one number each")
    if not np.isfinite(numbers).all():
        raise EmbeddingError(f"weights {numbers.tolist()}: give finite numbers")
    with np.errstate(over="ignore"):
        total = numbers.sum()
    if not 1e-6 * np.abs(numbers).max() < total < np.inf:
        raise EmbeddingError(
            f"the weights sum to {total:g}: no voice is left; they must sum to more than zero"
        )
    return [float(number) for number in numbers]


def unit_mean(embeddings: Sequence[Embedding], weights: Sequence[float] | None = None) -> Embedding:
    """Weighted mean of unit vectors, at unit length again: n times (S,) -> (S,).

    Args:
        embeddings: at least one vector; each is brought to unit length first.
        weights: one number each, negative ones lead away from a voice; all alike by default.

    Raises:
        EmbeddingError: when there are none, when numbers and vectors do not match, or when the sum vanishes.
    """
    total = _weights(embeddings, weights) @ _unit_rows(embeddings)
    length = np.linalg.norm(total)
    if not length > _CANCELLED:
        raise EmbeddingError("the weighted embeddings cancel out: no voice is left; change the weights")
    return (total / length).astype(np.float32)


def spherical_mean(embeddings: Sequence[Embedding], weights: Sequence[float]) -> Embedding:
    """Point with the least weighted sum of squared arcs to unit vectors: n times (S,) -> (S,).

    For two vectors this is spherical linear interpolation (Shoemake 1985); for more, the Karcher mean (1977), which
    steps to the mean of the vectors seen from where it stands until it no longer moves.

    Args:
        embeddings: at least one vector; each is brought to unit length first.
        weights: one number each, of which only the ratios count; a negative one leads away from its vector.

    Raises:
        EmbeddingError: when numbers and vectors do not match, the numbers do not sum to more than zero, or two
            vectors lie opposite each other, so that no arc between them is the shortest.
    """
    share, vectors = _weights(embeddings, weights), _unit_rows(embeddings)
    total = share.sum()
    if not _CANCELLED < total < np.inf:
        raise EmbeddingError(
            f"the weights sum to {total:g}; along the sphere they must sum to more than zero"
        )
    share /= total
    place = vectors[share.argmax()]
    for _ in range(_MOST_STEPS):
        # Logarithm map: direction and length of the arcs from the place to the vectors, (n, S).
        cosine = vectors @ place
        aside = vectors - cosine[:, None] * place
        sine = np.linalg.norm(aside, axis=1)
        angle = np.arctan2(sine, cosine)
        if (angle > np.pi - _OPPOSITE_RADIANS).any():
            raise EmbeddingError("two of the voices lie opposite each other: no way between is the shortest")
        step = share @ (aside * (angle / np.maximum(sine, 1e-300))[:, None])
        # Exponential map: along the sphere by the mean of the arcs.
        length = np.linalg.norm(step)
        place = np.cos(length) * place + np.sinc(length / np.pi) * step
        place /= np.linalg.norm(place)
        if length < _CONVERGED_RADIANS:
            break
    return np.asarray(place, np.float32)


def _weights(embeddings: Sequence[Embedding], weights: Sequence[float] | None) -> NDArray[np.float64]:
    """One weight a vector, in float64: -> (n,)."""
    given = np.ones(len(embeddings)) if weights is None else np.array(weights, np.float64)
    if not len(embeddings) or len(given) != len(embeddings):
        raise EmbeddingError(f"{len(weights or ())} weights for {len(embeddings)} embeddings; give one each")
    return given


def _unit_rows(embeddings: Sequence[Embedding]) -> NDArray[np.float64]:
    """Vectors at unit length: n times (S,) -> (n, S)."""
    stacked = np.asarray(embeddings, np.float64)
    return np.asarray(stacked / np.linalg.norm(stacked, axis=1, keepdims=True))


def checked_profile(
    profile: SpeakerProfile, what: str, size: int, n_mels: int, timbre_dim: int
) -> SpeakerProfile:
    """The same profile, if a model with so many numbers in an embedding, mel bins and numbers in a token can take it.

    Raises:
        EmbeddingError: when a part of it has another size, or is not finite.
    """
    checked_embedding(profile.embedding, what, size)
    centre, statistics = profile.pitch_centre, profile.mel_statistics
    if centre is not None and not np.isfinite(centre):
        raise EmbeddingError(f"{what}: its pitch centre is {centre}; it must be finite, or None")
    tokens = profile.timbre
    if tokens is not None and (
        tokens.ndim != 2 or tokens.shape[1] != timbre_dim or not np.isfinite(tokens).all()
    ):
        needed = f"tokens of {timbre_dim} numbers" if timbre_dim else "none"
        raise EmbeddingError(
            f"{what}: its timbre tokens are of shape {tokens.shape} or not finite; this model needs {needed}: "
            "make the profile again with it"
        )
    if statistics is None:
        return profile
    parts: list[tuple[NDArray[np.float32], tuple[int, ...]]]
    parts = [(statistics.mean, (n_mels,)), (statistics.deviation, (n_mels,))]
    if statistics.covariance is not None:
        parts.append((statistics.covariance, 2 * (len(basis(n_mels)),)))
    for part, shape in parts:
        if np.shape(part) != shape or not np.isfinite(part).all():
            raise EmbeddingError(
                f"{what}: its mel statistics are of shape {np.shape(part)} or not finite; this model needs {shape}"
            )
    if not 0 <= statistics.frames < np.inf:
        raise EmbeddingError(f"{what}: its mel statistics come from {statistics.frames} frames")
    return profile


def checked_embedding(vector: Any, what: str, size: int | None = None) -> Embedding:
    """Bring an embedding to unit length: (S,) -> (S,).

    Raises:
        EmbeddingError: when it is no vector of finite numbers, is zero, or has another size than given.
    """
    expected = "a vector" if size is None else f"{size} numbers"
    vector = as_numbers(vector, what, EmbeddingError, "fiubcUSOmMV")
    if vector.ndim != 1 or vector.dtype.kind not in "fiu" or (size is not None and len(vector) != size):
        raise EmbeddingError(
            f"{what}: an embedding of shape {vector.shape} and type {vector.dtype}, expected {expected}"
        )
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not (np.isfinite(length) and length > 0):
        raise EmbeddingError(f"{what}: the embedding is zero or not finite")
    return (vector / length).astype(np.float32)
