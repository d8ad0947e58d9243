"""Statistics of a mel's active frames, and matching one mel to those of another.

First mean and deviation of every bin, on torch; then the covariance of the low cepstra, by half of the optimal
transport map between two Gaussians, in plain numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from voiceae.dsp.activity import active_frames

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Real = TypeVar("Real", Floats, Doubles)

HALF_TRUST_FRAMES = 43
"""0.5 s: from as many active frames, statistics are applied with half the strength."""
MAX_DEVIATION_RATIO = 2.0
"""Largest ratio of deviations that is applied, of a bin or along any direction: what is asked for beyond it is an
accident of few frames."""
MAX_STRETCHED_DEVIATIONS = 3.0
"""Values further above the mean than this are moved but not stretched: errors of the network would become clicks."""
CEPSTRA = 24
"""Without the zeroth: how the level varies is what is said, and matched with the rest it makes speech less clean."""
DEFAULT_FRACTION = 0.5
"""Of the way to the target's covariance. By all of it, speech is less clear and the voice hardly nearer."""
HALF_TRUST_COVARIANCE_FRAMES = 100
"""With as many active frames, a covariance is trusted by half: of 24 cepstra it has 300 numbers."""
MAX_CHANGE_NATS = 1.0
"""By which a value may be moved; speech hardly ever is by as much, a slip of the network would be."""
# nats^2, so that a mel that does not vary has an inverse root; of speech, all are larger
_LEAST_VARIANCE = 1e-4


def masked_moments(x: Tensor, mask: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over valid frames, in float32: (B, T, D), (B, T) -> (B, 1, D), (B, 1, D).

    The deviation is `sqrt(variance + eps)` with the variance divided by the number of frames, so that one frame has
    mean itself and deviation `sqrt(eps)`.
    """
    x = x.float()
    if mask is None:
        import torch  # here, for who matches covariances goes without it

        variance, mean = torch.var_mean(x, dim=1, keepdim=True, correction=0)
        return mean, (variance + eps).sqrt()
    weight = mask[..., None].float()
    count = weight.sum(1, keepdim=True).clamp_min(1.0)
    mean = (x * weight).sum(1, keepdim=True) / count
    variance = ((x - mean).square() * weight).sum(1, keepdim=True) / count
    return mean, (variance + eps).sqrt()


def active_moments(mel: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, deviation and number of the active frames: (B, M, T), (B, T) -> (B, M), (B, M), (B,)."""
    active = active_frames(mel.float(), mask)
    # `eps` is a deviation of 0.01 nats, far below that of any bin of speech.
    mean, deviation = masked_moments(mel.transpose(1, 2), active, eps=1e-4)
    return mean[:, 0], deviation[:, 0], active.sum(-1)


def match_moments(
    mel: Tensor,
    mean: Tensor,
    deviation: Tensor,
    frames: Tensor,
    *,
    strength: float = 1.0,
    own: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """Give a mel the per-bin mean and deviation of a voice: (B, M, T), (B, M), (B, M), (B,) -> (B, M, T).

    Networks trained on distances give mels that vary too little; restoring the variance per bin is the global variance
    compensation of Toda and Tokuda 2007, here with the mean too. The strength falls with few frames on either side.

    Args:
        mel: natural log.
        mean: of the voice, per bin.
        deviation: of the voice, per bin.
        frames: number of active frames that those come from.
        strength: from 0, nothing, to 1, all of it.
        own: `active_moments` of the whole, where the mel is a piece of a longer one; by default those of the mel.
    """
    own_mean, own_deviation, own_frames = active_moments(mel) if own is None else own
    fewest = frames.to(own_frames).minimum(own_frames).float()
    trust = (strength * fewest / (fewest + HALF_TRUST_FRAMES))[:, None]
    ratio = (deviation / own_deviation).clamp(1 / MAX_DEVIATION_RATIO, MAX_DEVIATION_RATIO) ** trust
    risen = mel - own_mean[..., None]
    usual = risen.minimum(MAX_STRETCHED_DEVIATIONS * own_deviation[..., None])
    matched = usual * ratio[..., None] + (risen - usual)
    return matched + own_mean.lerp(mean, trust)[..., None]


@dataclass(frozen=True)
class CovarianceMatch:
    """Affine map that is applied to every frame of a mel.

    Attributes:
        centre: (M, 1) about which deviations are scaled.
        change: (M, M) of a deviation to what is added to the frame.
    """

    centre: Floats
    change: Floats

    def __call__(self, mel: Floats) -> Floats:
        """Map every frame: (M, T) -> (M, T)."""
        change = _product(self.change, mel - self.centre)
        return mel + change.clip(-MAX_CHANGE_NATS, MAX_CHANGE_NATS)


@cache
def basis(n_mels: int) -> Doubles:
    """Rows of the orthonormal DCT-II, from the second on, since the first is the level: -> (Q, M), Q at most 24."""
    order, place = np.arange(1, min(CEPSTRA + 1, n_mels))[:, None], np.arange(n_mels) + 0.5
    return np.asarray(np.sqrt(2 / n_mels) * np.cos(np.pi * order * place / n_mels), np.float64)


def active_covariance(mel: Floats) -> Floats:
    """Covariance of the cepstra of the active frames: natural-log mel (M, T) -> (Q, Q)."""
    return _covariance(mel[:, active_frames(mel)]).astype(np.float32)


def covariance_match(
    mel: Floats, covariance: Floats, frames: float, strength: float, *, fraction: float = DEFAULT_FRACTION
) -> CovarianceMatch:
    """Map that brings the covariance of a mel's low cepstra towards another one: (M, T), (Q, Q) ->.

    The optimal transport map between two Gaussians (Peyre and Cuturi 2019, arXiv 1803.00567, section 2.6), of which
    half the way is gone: A = S^-1/2 (S^1/2 C S^1/2)^1/2 S^-1/2 for the mel's covariance S and the target's C. Its
    eigenvalues are ratios of deviations; as in `match_moments` they are bounded, and near 1 where either side has few
    frames.

    Args:
        mel: natural log, with the target's mean and deviation already; or a sample of the mel that is to be mapped.
        covariance: of the target.
        frames: how many active frames it comes from.
        strength: from 0, nothing, to 1, all of what is done.
        fraction: of the way to the target's covariance that full strength goes.
    """
    own = mel[:, active_frames(mel)]
    if not own.shape[1]:  # nothing is louder than NaN: what a broken network gives is for others to refuse
        return CovarianceMatch(np.zeros((len(mel), 1), np.float32), np.zeros((len(mel),) * 2, np.float32))
    root, inverse = _roots(_covariance(own), _LEAST_VARIANCE)
    middle, _ = _roots(root @ covariance @ root, _LEAST_VARIANCE**2)
    ratios, axes = np.linalg.eigh(inverse @ middle @ inverse)
    fewest = min(frames, own.shape[1])
    ratios = ratios.clip(1 / MAX_DEVIATION_RATIO, MAX_DEVIATION_RATIO) ** (
        fewest / (fewest + HALF_TRUST_COVARIANCE_FRAMES)
    )
    axes = basis(len(mel)).T @ axes
    change = (axes * (fraction * strength * (ratios - 1))) @ axes.T
    centre = own.mean(1, keepdims=True, dtype=np.float64)
    return CovarianceMatch(centre.astype(np.float32), change.astype(np.float32))


def match_covariance(mel: Floats, covariance: Floats | None, frames: float, strength: float) -> Floats:
    """Bring a whole mel to a covariance of its low cepstra, where that is known: (M, T), (Q, Q) -> (M, T)."""
    if covariance is None or not strength:
        return mel
    return covariance_match(mel, covariance, frames, strength)(mel)


def _covariance(mel: Floats) -> Doubles:
    """(M, T) -> (Q, Q)."""
    cepstra = _product(basis(len(mel)), mel - mel.mean(1, keepdims=True, dtype=np.float64))
    return _product(cepstra, cepstra.T) / mel.shape[1]


def _product(left: Real, right: Real) -> Real:
    """As `left @ right`, whose BLAS would wake threads that on a busy machine take longer than all the rest."""
    product: Real = np.einsum("ij,jk->ik", left, right)
    return product


def _roots(matrix: Doubles, least: float) -> tuple[Doubles, Doubles]:
    """Square root of a covariance with no eigenvalue below `least`, and its inverse: (Q, Q) -> (Q, Q), (Q, Q)."""
    values, axes = np.linalg.eigh(matrix)
    scale = np.sqrt(values.clip(least))
    return (axes * scale) @ axes.T, (axes / scale) @ axes.T
