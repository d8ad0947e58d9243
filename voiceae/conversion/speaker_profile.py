"""What a model knows of a speaker: embedding, pitch and mel statistics, from recordings or from files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.arguments import as_numbers, as_weights
from voiceae.dsp.covariance_matching import basis
from voiceae.errors import EmbeddingError

_ROUNDS = 100
_CLOSE = 1e-12
_OPPOSITE = 1e-3  # radians from antipodal, where float32 vectors no longer tell the way


def spherical_mean(
    vectors: Sequence[NDArray[np.floating[Any]]], weights: Sequence[float]
) -> NDArray[np.float32]:
    """Point with the least weighted sum of squared arcs to unit vectors: n times (S,) -> (S,).

    For two vectors this is spherical linear interpolation (Shoemake 1985); for more, the Karcher mean (1977), which
    steps to the mean of the vectors seen from where it stands until it no longer moves.

    Args:
        vectors: at unit length, at least one.
        weights: one each, of sum one; a negative one leads away from its vector.

    Raises:
        EmbeddingError: when two of them lie opposite each other, so that no way between is the shortest.
    """
    stacked = np.asarray(vectors, np.float64)
    stacked = stacked / np.linalg.norm(stacked, axis=1, keepdims=True)
    share = np.asarray(weights, np.float64)
    place = stacked[share.argmax()]
    for _ in range(_ROUNDS):
        step = share @ _towards(place, stacked)
        place = _walk(place, step)
        if step @ step < _CLOSE**2:
            break
    return place.astype(np.float32)


def _towards(place: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Direction and length of the arcs that lead to vectors: (S,), (n, S) -> (n, S)."""
    cosine = vectors @ place
    aside = vectors - cosine[:, None] * place
    sine = np.linalg.norm(aside, axis=1)
    angle = np.arctan2(sine, cosine)
    if (angle > np.pi - _OPPOSITE).any():
        raise EmbeddingError("two of the voices lie opposite each other: no way between is the shortest")
    return aside * (angle / np.maximum(sine, 1e-300))[:, None]


def _walk(place: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Go along the sphere: (S,), (S,) -> (S,)."""
    length = np.linalg.norm(step)
    moved = np.cos(length) * place + np.sinc(length / np.pi) * step
    return np.asarray(moved / np.linalg.norm(moved))


Embedding = NDArray[np.float32]


@dataclass(frozen=True)
class MelStatistics:
    """Per-bin statistics of a voice's loud frames, natural-log mel.

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
        """One row for a table, all but the covariance: -> (2 M + 1,)."""
        return np.concatenate((self.mean, self.deviation, [self.frames])).astype(np.float32)

    def pack_covariance(self) -> NDArray[np.float32] | None:
        """Another row, the covariance's upper triangle: -> (Q (Q + 1) / 2,)."""
        return None if self.covariance is None else self.covariance[np.triu_indices(len(self.covariance))]

    @classmethod
    def unpack(
        cls, row: NDArray[np.float32], triangle: NDArray[np.float32] | None = None
    ) -> MelStatistics | None:
        """From the rows that `pack` and `pack_covariance` made; a row of NaN says that something is not known."""
        if not np.isfinite(row).all():
            return None
        middle = len(row) // 2
        return cls(row[:middle], row[middle:-1], float(row[-1]), _unfolded(triangle))

    @classmethod
    def pooled(cls, weighted: Sequence[tuple[float, MelStatistics]]) -> MelStatistics | None:
        """Mean by weight; a voice that is led away from has no say in it. Of covariances only where all are known."""
        kept = [(weight, colour) for weight, colour in weighted if weight > 0]
        if not kept:
            return None
        weights = np.array([weight for weight, _ in kept])
        rows = np.stack([colour.pack() for _, colour in kept])
        weights /= weights.sum()
        pooled = weights @ rows
        pooled[-1] = rows[:, -1].sum()
        triangles = [triangle for _, colour in kept if (triangle := colour.pack_covariance()) is not None]
        known = weights @ np.stack(triangles) if len(triangles) == len(kept) else None
        return cls.unpack(pooled.astype(np.float32), known)


@dataclass(frozen=True)
class SpeakerProfile:
    """All that a model takes from a target; made once, it can be used for many sources.

    Attributes:
        embedding: (S,), unit length; also what numpy makes of it.
        pitch_centre: median fundamental in octaves; None when all that is left of a voice is its embedding, or when
            it has no fundamental that can be relied on (it whispers, creaks, or speaks below the model's range): the
            source's pitch then stays where it is.
        mel_statistics: statistics that the result is given; None likewise.
    """

    embedding: Embedding
    pitch_centre: float | None = None
    mel_statistics: MelStatistics | None = None

    def __array__(self, *arguments: Any, **options: Any) -> NDArray[Any]:
        return np.array(self.embedding, *arguments, **options)

    @classmethod
    def mean(
        cls,
        several: Sequence[SpeakerProfile],
        weights: Sequence[float] | None = None,
        *,
        spherical: bool = False,
    ) -> SpeakerProfile:
        """A voice between voices.

        Args:
            several: at least one voice.
            weights: one each, negative ones lead away from a voice; all alike by default.
            spherical: go along the sphere that speaker vectors lie on rather than straight through it.

        Raises:
            EmbeddingError: when weights and voices do not match, or cancel out.
        """
        if not len(several):
            raise EmbeddingError("no voices; give at least one")
        if len(several) == 1 and weights is None:
            return several[0]
        weights = [1.0] * len(several) if weights is None else as_weights(weights, len(several))
        vectors = [each.embedding for each in several]
        speaker = arc_mean(vectors, weights) if spherical else unit_mean(vectors, weights)
        known = [
            (weight, each.pitch_centre)
            for weight, each in zip(weights, several, strict=True)
            if each.pitch_centre is not None
        ]
        total = sum(weight for weight, _ in known)
        centre = sum(weight * pitch for weight, pitch in known) / total if total > 0 else None
        colours = [
            (w, each.mel_statistics)
            for w, each in zip(weights, several, strict=True)
            if each.mel_statistics is not None
        ]
        return cls(embedding=speaker, pitch_centre=centre, mel_statistics=MelStatistics.pooled(colours))


def _unfolded(triangle: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """Symmetric matrix from its upper triangle: (Q (Q + 1) / 2,) -> (Q, Q); None from NaN."""
    if triangle is None or not np.isfinite(triangle).all():
        return None
    size = (math.isqrt(8 * len(triangle) + 1) - 1) // 2
    matrix = np.zeros((size, size), np.float32)
    matrix[np.triu_indices(size)] = triangle
    return matrix + np.triu(matrix, 1).T


def unit_mean(embeddings: Sequence[Embedding], weights: Sequence[float] | None = None) -> Embedding:
    """Weighted mean of unit vectors, at unit length again: n times (S,) -> (S,).

    Args:
        embeddings: at least one vector; each is brought to unit length first.
        weights: one number each, negative ones lead away from a voice; all alike by default.

    Raises:
        EmbeddingError: when there are none, when numbers and vectors do not match, or when the sum vanishes.
    """
    if not embeddings or (weights is not None and len(weights) != len(embeddings)):
        raise EmbeddingError(f"{len(weights or ())} weights for {len(embeddings)} embeddings; give one each")
    stacked = np.stack([vector / np.linalg.norm(vector) for vector in embeddings]).astype(np.float64)
    total = np.asarray(weights if weights is not None else np.ones(len(stacked)), np.float64) @ stacked
    length = np.linalg.norm(total)
    if not length > 1e-6:
        raise EmbeddingError("the weighted embeddings cancel out: no voice is left; change the weights")
    return (total / length).astype(np.float32)


def arc_mean(embeddings: Sequence[Embedding], weights: Sequence[float]) -> Embedding:
    """Weighted mean along the sphere: n times (S,) -> (S,), unit length.

    Args:
        embeddings: at least one vector.
        weights: one number each; only their ratios count.

    Raises:
        EmbeddingError: when numbers and vectors do not match, the numbers do not sum to more than zero, or two
            vectors lie opposite each other.
    """
    if not embeddings or len(weights) != len(embeddings):
        raise EmbeddingError(f"{len(weights)} weights for {len(embeddings)} embeddings; give one each")
    total = sum(weights)
    if not 1e-6 < total < np.inf:
        raise EmbeddingError(
            f"the weights sum to {total:g}; along the sphere they must sum to more than zero"
        )
    return spherical_mean(embeddings, [weight / total for weight in weights])


def usable(voice: SpeakerProfile, what: str, size: int, n_mels: int) -> SpeakerProfile:
    """The same voice, when it is one that a model with so many numbers and mel bins can speak in.

    Raises:
        EmbeddingError: when a part of it has another size, or is not finite.
    """
    checked(voice.embedding, what, size)
    centre, colour = voice.pitch_centre, voice.mel_statistics
    if centre is not None and not np.isfinite(centre):
        raise EmbeddingError(f"{what}: its pitch centre is {centre}; it must be finite, or None")
    if colour is None:
        return voice
    parts: list[tuple[NDArray[np.float32], tuple[int, ...]]]
    parts = [(colour.mean, (n_mels,)), (colour.deviation, (n_mels,))]
    if colour.covariance is not None:
        parts.append((colour.covariance, 2 * (len(basis(n_mels)),)))
    for part, shape in parts:
        if np.shape(part) != shape or not np.isfinite(part).all():
            raise EmbeddingError(
                f"{what}: its mel statistics are of shape {np.shape(part)} or not finite; this model needs {shape}"
            )
    if not 0 <= colour.frames < np.inf:
        raise EmbeddingError(f"{what}: its mel statistics come from {colour.frames} frames")
    return voice


def checked(vector: Any, what: str, size: int | None = None) -> Embedding:
    """Bring an embedding to unit length: (S,) -> (S,).

    Raises:
        EmbeddingError: when it is no vector of finite numbers, is zero, or has another size than wanted.
    """
    wanted = "a vector" if size is None else f"{size} numbers"
    vector = as_numbers(vector, what, EmbeddingError, "fiubcUSOmMV")
    if vector.ndim != 1 or vector.dtype.kind not in "fiu" or (size is not None and len(vector) != size):
        raise EmbeddingError(
            f"{what}: an embedding of shape {vector.shape} and type {vector.dtype}, expected {wanted}"
        )
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not (np.isfinite(length) and length > 0):
        raise EmbeddingError(f"{what}: the embedding is zero or not finite")
    return (vector / length).astype(np.float32)
