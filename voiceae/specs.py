"""The mel contract: the numbers that audio, models and vocoders share, and the arithmetic derived from them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any

from voiceae.errors import SpecError, SpecMismatchError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_SOURCE_SECONDS = 0.1
"""Shortest source of a conversion; a short syllable lasts as long."""
MIN_TARGET_SECONDS = 0.5
"""Shortest recording of a target voice: 43 frames, whose statistics `match_moments` trusts by half."""


@dataclass(frozen=True, kw_only=True)
class AudioSpec:
    """How a wave becomes a log-mel; the default is the convention of published HiFi-GAN checkpoints.

    Frames are not centred: the wave is reflect-padded by `padding` on both sides, and frame `t` sees the samples
    around `hop_length * t + hop_length / 2`.

    Args:
        sample_rate: Hz.
        n_fft: length of the transform, samples.
        win_length: length of the periodic Hann window, samples; at most `n_fft`.
        hop_length: samples between frames.
        n_mels: number of Slaney-normalised triangular filters on the Slaney mel scale.
        f_min: lower edge of the first filter, Hz.
        f_max: upper edge of the last filter, Hz.
        log_floor: smallest mel magnitude; smaller ones are clamped before the natural logarithm.
        magnitude_epsilon: added under the root, `sqrt(re^2 + im^2 + magnitude_epsilon)`.

    Raises:
        SpecError: when one is no number, or they contradict each other.
    """

    sample_rate: int = 22050
    n_fft: int = 1024
    win_length: int = 1024
    hop_length: int = 256
    n_mels: int = 80
    f_min: float = 0.0
    f_max: float = 8000.0
    log_floor: float = 1e-5
    magnitude_epsilon: float = 1e-9

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            number = isinstance(value, Real) and math.isfinite(value)
            if not number or (self.__dataclass_fields__[name].type == "int" and value != int(value)):
                raise SpecError(f"{name} {value!r}: need a finite number, whole where it counts something")
        if not 0 < self.hop_length <= self.win_length <= self.n_fft:
            raise SpecError(
                f"hop_length {self.hop_length}, win_length {self.win_length}, n_fft {self.n_fft}: "
                "need 0 < hop_length <= win_length <= n_fft"
            )
        if (self.n_fft - self.hop_length) % 2:
            raise SpecError(
                f"n_fft {self.n_fft} - hop_length {self.hop_length} must be even to pad both sides alike"
            )
        if not 0 <= self.f_min < self.f_max <= self.sample_rate / 2:
            raise SpecError(
                f"f_min {self.f_min}, f_max {self.f_max}: need 0 <= f_min < f_max <= {self.sample_rate / 2}"
            )
        if self.n_mels < 1 or self.log_floor <= 0 or self.magnitude_epsilon < 0:
            raise SpecError("need n_mels >= 1, log_floor > 0 and magnitude_epsilon >= 0")

    @property
    def padding(self) -> int:
        """Samples of reflection padding on each side of the wave."""
        return (self.n_fft - self.hop_length) // 2

    @property
    def frame_rate(self) -> float:
        """Frames of the mel per second."""
        return self.sample_rate / self.hop_length

    @property
    def n_bins(self) -> int:
        """Bins of the one-sided spectrum."""
        return self.n_fft // 2 + 1

    @property
    def shortest(self) -> int:
        """Samples that a shorter wave is extended to by zeros: reflection needs one more than `padding`."""
        return max(self.padding + 1, self.hop_length)

    def frames(self, n_samples: int) -> int:
        """Frames of a wave of `n_samples`."""
        return max(n_samples, self.shortest) // self.hop_length

    def samples(self, n_frames: int) -> int:
        """Samples of `n_frames` frames."""
        return n_frames * self.hop_length

    def pad_to_hop(self, n_samples: int) -> int:
        """How many zeros at its end make a wave of `n_samples` one of whole hops, so that its last frame is kept."""
        return -n_samples % self.hop_length

    @property
    def overlap(self) -> int:
        """Hops that one frame reaches over: how many frames add up in every sample of an overlap-add."""
        return -(-self.n_fft // self.hop_length)

    def window(self) -> NDArray[np.float64]:
        """Analysis window, a periodic Hann window with zeros on both sides: -> (n_fft,).

        Periodic ("DFT-even", Harris 1978), since the squares of such windows, overlapping by three quarters, add up to
        a constant; those of a symmetric one would ripple.
        """
        import numpy as np  # here, so that commands which only read a spec start without numpy

        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.win_length) / self.win_length)
        before = (self.n_fft - self.win_length) // 2
        return np.pad(hann, (before, self.n_fft - self.win_length - before))

    def seconds_to_frames(self, seconds: float) -> int:
        """Nearest number of frames to a duration, at least one."""
        return max(1, round(seconds * self.frame_rate))

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that differ whenever any field does."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Fields by name, with plain numbers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AudioSpec:
        """Spec from its fields by name; numbers are cast to each field's type, so `0` and `0.0` are one.

        Raises:
            ValueError: for a field that is unknown or missing, or a value that does not fit.
        """
        kinds: dict[str, Any] = {field.name: int if field.type == "int" else float for field in fields(cls)}
        if set(values) != set(kinds):
            odd = sorted(set(values) ^ set(kinds))
            raise SpecError(
                f"audio spec: unknown or missing fields {', '.join(odd)}; it has {', '.join(kinds)}"
            )
        return cls(**{name: kinds[name](values[name]) for name in kinds})

    def differences(self, other: AudioSpec) -> dict[str, tuple[Any, Any]]:
        """Fields that differ, as (own, other)."""
        mine, theirs = self.to_dict(), other.to_dict()
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}

    def require_same(self, other: AudioSpec, ours: str, theirs: str) -> None:
        """Refuse to go on with two different mel contracts.

        Args:
            other: the spec to compare with.
            ours: what this spec belongs to, for the message.
            theirs: what the other belongs to.

        Raises:
            SpecMismatchError: when any field differs; both sides are printed field by field.
        """
        rows = [
            f"{name}: {ours} {mine}, {theirs} {yours}"
            for name, (mine, yours) in self.differences(other).items()
        ]
        if rows:
            raise SpecMismatchError(
                f"{ours} ({self.fingerprint}) and {theirs} ({other.fingerprint}) do not share one mel: "
                + "; ".join(rows)
            )
