"""Losses by name, their weights and their schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchaudio.functional import spectrogram

from voiceae.errors import ConfigError

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": lambda ours, theirs: (ours - theirs).abs(),
    "l2": lambda ours, theirs: (ours - theirs).square(),
    "huber": lambda ours, theirs: functional.huber_loss(ours, theirs, reduction="none"),
}


def reconstruction_loss(
    mel: Tensor, target: Tensor, mask: Tensor | None = None, distance: str = "l1"
) -> Tensor:
    """Mean distance per bin and valid frame: (B, M, T), (B, M, T), mask (B, T) -> ().

    In the terms of a likelihood, `l1` is a Laplace and `l2` a Gaussian density up to a constant; their scale is taken
    up by the weight of the KL term.

    Args:
        mel: natural-log mel.
        target: the same.
        mask: valid frames.
        distance: a key of `DISTANCES`.

    Raises:
        ValueError: for an unknown distance.
    """
    if distance not in DISTANCES:
        raise ValueError(f"distance {distance!r}: expected one of {', '.join(DISTANCES)}")
    error = DISTANCES[distance](mel.float(), target.float())  # under autocast features are bfloat16
    if mask is None:
        return error.mean()
    weight = mask[:, None].to(error.dtype)
    return (error * weight).sum() / (weight.sum() * mel.shape[1]).clamp_min(1)


_FLOOR = 1e-4  # of magnitudes under a window of unit sum: -80 dB of full scale


class MultiResolutionSTFTLoss(nn.Module):
    """Distance of magnitude spectra at several resolutions: wav (B, N), wav (B, N), mask (B, N) -> ().

    Mean absolute difference of log magnitudes plus spectral convergence, the relative Frobenius norm of the
    difference (Yamamoto, Song and Kim 2020, arXiv 1910.11480).

    Args:
        sizes: of the transforms, samples; a Hann window as long, a quarter of it between frames.
        sample_rate: Hz.
        f_max: bins above this are not compared, Hz.
    """

    def __init__(self, *, fft_sizes: Sequence[int], sample_rate: int, f_max: float) -> None:
        super().__init__()
        self.bins = {size: int(f_max / sample_rate * size) + 1 for size in fft_sizes}
        for size in fft_sizes:
            window = torch.hann_window(size, periodic=True)
            self.register_buffer(f"window_{size}", window / window.sum(), persistent=False)

    def forward(self, wav: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mean over the resolutions.

        Args:
            wav: samples.
            target: the same.
            mask: samples that count, all by default; frames that begin past them are left out, and nothing past them
                counts in the others.
        """
        if mask is None:
            mask = torch.ones_like(target, dtype=torch.bool)
        wav, target = wav * mask, target * mask
        distances = []
        for size in self.bins:
            given, right = self.magnitude(wav, size), self.magnitude(target, size)
            counts = mask[:, : mask.shape[-1] - size + 1 : size // 4, None].float()
            difference = ((given + _FLOOR).log() - (right + _FLOOR).log()).abs() * counts
            log_distance = difference.sum() / (counts.sum() * given.shape[-1]).clamp_min(1)
            norms = [(x.square().sum((1, 2)) + _FLOOR**2).sqrt() for x in (right - given, right)]
            distances.append(log_distance + (norms[0] / norms[1]).mean())
        return torch.stack(distances).mean()

    def magnitude(self, wav: Tensor, size: int) -> Tensor:
        """Magnitude spectra of un-padded frames: (B, N) -> (B, T, F)."""
        window: Tensor = getattr(self, f"window_{size}")
        # A bfloat16 spectrum would have 7 bits for a range of 80 dB.
        with torch.autocast(wav.device.type, enabled=False):
            power = spectrogram(
                wav.float(), 0, window, size, size // 4, size, power=2.0, normalized=False, center=False
            )
            # The root of zero has no gradient.
            return (power[:, : self.bins[size]] + 1e-14).sqrt().mT


def contrastive_loss(
    first: Tensor, second: Tensor, scale: Tensor | float, voice: Tensor | None = None
) -> Tensor:
    """Each vector must find its partner among the batch: (B, S), (B, S) -> ().

    Symmetric cross-entropy of scaled cosines (InfoNCE, arXiv 1807.03748; both directions as in arXiv 2103.00020), in
    float32 also under autocast.

    Args:
        first: unit vectors of one clip each.
        second: unit vectors of another clip of the same voice.
        scale: inverse temperature.
        voice: (B,) whose voices they are; items of one voice are no negatives of each other. All differ by default.
    """
    with torch.autocast(first.device.type, enabled=False):
        logits = scale * first.float() @ second.float().T
    partner = torch.arange(len(first), device=first.device)
    if voice is not None:
        alike = (voice[:, None] == voice) & (partner[:, None] != partner)
        logits = logits.masked_fill(alike, float("-inf"))
    return 0.5 * (functional.cross_entropy(logits, partner) + functional.cross_entropy(logits.T, partner))


def margin_loss(vectors: Tensor, classes: Tensor, labels: Tensor, *, margin: float, scale: float) -> Tensor:
    """Cross-entropy among speakers with an additive margin on the cosine of the right one: (B, S), (C, S), (B,) -> ().

    AM-softmax (Wang et al. 2018, arXiv 1801.05599), in float32 also under autocast.

    Args:
        vectors: of unit length.
        classes: one unit vector a speaker.
        labels: the right ones.
        margin: taken off the cosine of the right one.
        scale: of the cosines.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        cosines = vectors.float() @ classes.float().T
    right = functional.one_hot(labels, len(classes))
    return functional.cross_entropy(scale * (cosines - margin * right), labels)


def relational_loss(vectors: Tensor, wanted: Tensor) -> Tensor:
    """Mean square difference of the cosines between all items of a batch: (B, S), (B, E) -> ().

    Relational distillation (Park et al. 2019, arXiv 1904.05068) on unit vectors, in float32 also under autocast.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        ours, theirs = (x.float() @ x.float().T for x in (vectors, wanted))
    return (ours - theirs).square().mean()


class CLUBEstimator(nn.Module):
    """Variational upper bound on mutual information, in nats: x (..., X), y (..., Y).

    vCLUB of Cheng et al. 2020 (arXiv 2006.12013): how much likelier y is by a Gaussian approximation q(y | x) from its
    own x than from another's. It is an upper bound as far as the approximation is good, so q must be trained along, on
    codes that do not change for it.

    Args:
        x_dim: X.
        y_dim: Y.
        hidden: width of the network that predicts q.
    """

    def __init__(self, *, x_dim: int, y_dim: int, hidden: int) -> None:
        super().__init__()
        self.variational = nn.Sequential(nn.Linear(x_dim, hidden), nn.GELU(), nn.Linear(hidden, 2 * y_dim))

    def learning_loss(self, x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        """Mean negative log-likelihood of y under q, less a constant: what the estimator itself minimises.

        Args:
            x: (B, T, X), or (B, 1, X) for one that holds for all of an item.
            y: (B, T, Y).
            mask: (B, T) frames that count.
        """
        mean, log_variance = self._gaussian(x)
        nats = 0.5 * ((y.float() - mean).square() * torch.exp(-log_variance) + log_variance)
        return _mean(nats.sum(-1), mask)

    def forward(self, x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        """The bound, over all pairings of the batch; arguments as of `learning_loss`.

        The mean over all y_j of (y_j - mean)^2 needs only the first two moments of y.
        """
        mean, log_variance = self._gaussian(x)
        y = y.float()
        weight = mask[..., None].to(y.dtype)
        first, second = (
            (power * weight).sum((0, 1)) / weight.sum().clamp_min(1) for power in (y, y.square())
        )
        excess = second - y.square() - 2 * mean * (first - y)
        return _mean(0.5 * (excess * torch.exp(-log_variance)).sum(-1), mask)

    def _gaussian(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q; a tanh keeps the latter in [-5, 5], away from overflow."""
        mean, log_variance = self.variational(x).float().chunk(2, dim=-1)
        return mean, 5 * torch.tanh(log_variance / 5)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """(B, T) -> ()."""
    weight = mask.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp_min(1)


# Class index of frames without a target; the one that torch's cross-entropy leaves out by default.
IGNORED = -100


class CPCLoss(nn.Module):
    """Contrastive predictive coding of units: (B, D, T') -> ().

    van den Oord et al. 2018 (arXiv 1807.03748), as in VQMIVC (arXiv 2106.10132). A recurrent summary of what came must
    pick each of the next units out of all units of the same utterance; since the wrong ones are in the same voice, the
    voice is of no help.

    Args:
        dim: D.
        hidden: width of the summary.
        prediction_steps: how many of the next units are predicted.
    """

    def __init__(self, *, dim: int, hidden: int = 128, prediction_steps: int = 6) -> None:
        super().__init__()
        if prediction_steps < 1:
            raise ValueError(f"prediction_steps {prediction_steps}: must be at least 1")
        self.recurrent = nn.GRU(dim, hidden, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(hidden, dim) for _ in range(prediction_steps))

    def forward(self, units: Tensor, mask: Tensor) -> Tensor:
        """Mean cross-entropy in nats: units (B, D, T'), mask (B, T')."""
        x = units.transpose(1, 2)
        summary = self.recurrent(x)[0]
        losses = []
        for distance, head in enumerate(self.heads, start=1):
            if distance >= x.shape[1]:
                break
            # InfoNCE of the predictions (B, T' - distance, D) against all units of the utterance (B, T', D).
            predicted = head(summary[:, :-distance])
            with torch.autocast(x.device.type, enabled=False):
                logits = (predicted.float() @ x.float().transpose(1, 2)) / x.shape[-1] ** 0.5
            logits = logits.masked_fill(~mask[:, None].bool(), -1e4).transpose(1, 2)
            counted = mask[:, distance:].bool()
            right = torch.arange(distance, x.shape[1], device=x.device).expand(len(x), -1)
            right = right.masked_fill(~counted, IGNORED)
            nats = functional.cross_entropy(logits, right, ignore_index=IGNORED, reduction="sum")
            losses.append(nats / counted.sum().clamp_min(1))
        return torch.stack(losses).mean() if losses else units.new_zeros(())


class Schedule:
    """A weight as a function of the step: constant, or risen linearly from zero once or in cycles.

    Cyclic annealing: Fu et al. 2019 (arXiv 1903.10145).

    Args:
        value: the weight at the top.
        kind: "constant", "linear" or "cyclic".
        steps: of the rise (linear) or of one cycle (cyclic).
        rise: part of a cycle spent rising.
        start: the step from which the schedule counts; before it, it stands at its beginning.

    Raises:
        ValueError: for a value that is no finite number, an unknown kind, or a schedule without steps.
    """

    KINDS = ("constant", "linear", "cyclic")

    def __init__(
        self, value: float, kind: str = "constant", steps: int = 0, rise: float = 0.5, start: int = 0
    ) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{value!r}: must be a finite number")
        if kind not in self.KINDS:
            raise ValueError(f"schedule {kind!r}: expected one of {', '.join(self.KINDS)}")
        if kind != "constant" and not 1 <= steps < math.inf:
            raise ValueError(f"schedule {kind!r} needs steps >= 1, got {steps}")
        if not 0 < rise <= 1:
            raise ValueError(f"rise {rise}: need 0 < rise <= 1")
        self.value, self.kind, self.steps, self.rise, self.start = value, kind, steps, rise, start

    def __call__(self, step: int) -> float:
        """Weight at a step, from 0."""
        step = max(0, step - self.start)
        if self.kind == "constant":
            return self.value
        if self.kind == "linear":
            return self.value * min(1.0, step / self.steps)
        return self.value * min(1.0, (step % self.steps) / (self.rise * self.steps))


class LossWeights:
    """Weighted sum of named losses.

    Args:
        weights: by name, a number or the arguments of a `Schedule`.

    Raises:
        ConfigError: for a schedule that makes no sense.
    """

    def __init__(self, weights: Mapping[str, Any]) -> None:
        self.given = _schedules(weights)
        self.schedules = self.given

    def change(self, weights: Mapping[str, Any], start: int) -> None:
        """From now on other weights for some losses, and for the rest those given in the beginning.

        Args:
            weights: by name, as for the whole.
            start: the step from which schedules among them count.

        Raises:
            ConfigError: for a loss that has no weight in the beginning, or a schedule that makes no sense.
        """
        unknown = sorted(set(weights) - set(self.given))
        if unknown:
            raise ConfigError(
                f"loss.weights has no {', '.join(unknown)} to be changed; it has {', '.join(sorted(self.given))}"
            )
        self.schedules = {**self.given, **_schedules(weights, start=start)}

    def __contains__(self, name: str) -> bool:
        return name in self.schedules and self.schedules[name].value != 0

    def __call__(self, losses: Mapping[str, Tensor], step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Total at a step, and every term of it as weighted.

        Raises:
            ConfigError: when a loss has no weight: a silent zero would hide a slip of the pen.
        """
        unknown = sorted(set(losses) - set(self.schedules))
        if unknown:
            raise ConfigError(
                f"loss.weights has no weight for {', '.join(unknown)}; it has {', '.join(sorted(self.schedules))}"
            )
        weighted = {name: self.schedules[name](step) * value for name, value in losses.items()}
        return sum(weighted.values(), start=next(iter(weighted.values())).new_zeros(())), weighted


def _schedules(weights: Mapping[str, Any], **options: Any) -> dict[str, Schedule]:
    schedules = {}
    for name, value in weights.items():
        try:
            given = value if isinstance(value, Mapping) else {"value": value}
            schedules[name] = Schedule(**{**options, **given})
            if schedules[name].value < 0:  # nothing that is called a loss here is to be raised
                raise ValueError(f"{schedules[name].value}: must be at least 0")
        except (TypeError, ValueError) as error:
            raise ConfigError(f"loss.weights.{name}: {error}") from error
    return schedules
