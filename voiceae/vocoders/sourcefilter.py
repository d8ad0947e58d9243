"""The toolkit's own vocoder: harmonics of a fundamental and noise, a filter for each frame, one inverse transform."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.dsp.spectrum import bins_below, mel_corners, mel_filters, reached_bins
from voiceae.hardware import full_precision
from voiceae.nn.layers import BlockStack
from voiceae.nn.norm import FrameNorm
from voiceae.nn.receptive_field import context_windows
from voiceae.specs import AudioSpec
from voiceae.vocoders.base import Vocoder
from voiceae.vocoders.excitation import Excitation

# Uppermost mel bins, 1.4 kHz of the default spec, whose mean the level above the mel starts from: the last one alone
# lies in the fading edge of every recording that was sampled at 16 kHz.
_BINS_TO_GO_ON_FROM = 5
_CORRECTION_NATS = 3.0  # by which the network may bend the filter that the mel asks for
# A band of the excitation so far below its neighbours counts as empty; a filter that asked for more than that there
# would blow up what the window leaks into it.
_CONTRAST_NATS = 4.0
_NEIGHBOURS = 4  # to either side: nine bands, 37 Hz wide below 1 kHz, always hold a harmonic of up to 330 Hz
_LEAST_NOISE = 1e-6  # power; the root of nothing at all has no gradient


@dataclass(frozen=True)
class Synthesis:
    """A wave, and what it was made of.

    Attributes:
        wav: (B, T * hop_length).
        pitch: (B, T, K) logits over the grid of fundamentals.
        f0: (B, T) Hz.
    """

    wav: Tensor
    pitch: Tensor
    f0: Tensor


class PitchReader(nn.Module):
    """Fundamental of every frame, read off the mel: normalised mel (B, T, M) -> logits (B, T, K).

    A classification over a logarithmic grid, whose peak is then interpolated, as in CREPE (Kim et al. 2018, arXiv
    1802.06182); frames without a fundamental get one all the same, and the filter ignores it.

    Args:
        n_mels: M.
        channels: width of the blocks.
        hidden: width inside each block.
        n_blocks: number of blocks.
        f_low: lowest fundamental, Hz.
        n_bins: K.
        bins_per_octave: density of the grid.
        kernel_size: of the blocks.
    """

    grid: Tensor

    def __init__(
        self,
        *,
        n_mels: int,
        channels: int,
        hidden: int,
        n_blocks: int,
        f_low: float = 55.0,
        n_bins: int = 160,
        bins_per_octave: int = 48,
        kernel_size: int = 7,
    ) -> None:
        super().__init__()
        self.n_bins, self.bins_per_octave = n_bins, bins_per_octave
        self.register_buffer("grid", f_low * 2 ** (torch.arange(n_bins) / bins_per_octave), persistent=False)
        self.enter = nn.Linear(n_mels, channels)
        norm = partial(FrameNorm, channels)
        self.blocks = BlockStack(n_blocks, channels, hidden, norm=norm, kernel_size=kernel_size)
        self.leave = nn.Linear(channels, n_bins)
        self.reach = n_blocks * (kernel_size // 2)

    def forward(self, mel: Tensor) -> Tensor:
        """Read: (B, T, M) -> (B, T, K)."""
        x = self.blocks(self.enter(mel))
        with full_precision(x.device.type):  # 8 bits of a logit are some tenths of a cent
            logits: Tensor = self.leave(x.float())
        return logits

    def fundamental(self, logits: Tensor) -> Tensor:
        """Hz, the mean of log f0 over four bins on either side of the peak: (B, T, K) -> (B, T).

        In float32 also under autocast: the 8 bits of a bfloat16 put the logarithm of 200 Hz into steps of 54 cents.
        """
        peak = logits.argmax(-1, keepdim=True)
        distance = (torch.arange(self.n_bins, device=logits.device) - peak).abs()
        with full_precision(logits.device.type):
            near = torch.softmax(logits.float().masked_fill(distance > 4, float("-inf")), dim=-1)
            return (near @ self.grid.log()).exp()


class SourceFilter(Vocoder):
    """Source-filter synthesis in the spectral domain: mel (B, M, T) -> wav (B, T * hop_length).

    A small network reads the fundamental off the mel. Harmonics of it and noise have every frame filtered twice: by
    the ratio of the wanted mel and the mel that they have, and by a network's corrections to that ratio, to the share
    of noise, and to the phase of the harmonics. One inverse short-time transform makes the wave. ConvNeXt blocks at the
    frame rate and the inverse transform are those of Vocos (Siuzdak 2023, arXiv 2306.00814); harmonics and noise
    with learned filters are those of the neural source-filter model (Wang et al. 2019, arXiv 1904.12088) and of DDSP
    (Engel et al. 2020, arXiv 2001.04643).

    The mel ends at its `f_max`, the wave at `band`: what lies between goes on from the uppermost mel bins, bent by what
    the network makes of the rest of the mel. Above the band the wave is silent.

    Args:
        audio: fields of the `AudioSpec`.
        channels: width of the filter's blocks.
        hidden: width inside each block.
        n_blocks: number of blocks.
        pitch: arguments of the `PitchReader` besides M.
        kernel_size: of the blocks, in frames.
        band: of the wave, Hz; that of the mel by default, and never above half the sample rate.

    Attributes:
        band: of the wave, Hz.
    """

    name = "sourcefilter"
    mel_mean: Tensor
    mel_deviation: Tensor
    filters: Tensor
    spread: Tensor

    def __init__(
        self,
        *,
        audio: dict[str, Any],
        channels: int,
        hidden: int,
        n_blocks: int,
        pitch: dict[str, Any],
        kernel_size: int = 7,
        band: float | None = None,
    ) -> None:
        super().__init__()
        self.spec = AudioSpec.from_dict(audio)
        self.band = min(max(band or 0.0, self.spec.f_max), self.spec.sample_rate / 2)
        n_mels = self.spec.n_mels
        self.pitch = PitchReader(n_mels=n_mels, **pitch)
        self.mel_bins = reached_bins(self.spec)
        wide = self.band > self.spec.f_max
        self.bins = max(self.mel_bins, bins_below(self.spec, self.band)) if wide else self.mel_bins
        filters = mel_filters(self.spec)[:, : self.mel_bins].T
        self.register_buffer("filters", torch.tensor(filters).float(), persistent=False)
        self.excitation = Excitation(self.spec, self.bins, self.band)
        # Linear interpolation in Hz between the centres of mel bands, constant beyond the ends, and above the mel the
        # mean of its uppermost bins: (M, F).
        hertz = np.arange(self.bins) * self.spec.sample_rate / self.spec.n_fft
        centres = mel_corners(self.spec)[1:-1]
        spread = np.stack([np.interp(hertz, centres, row) for row in np.eye(n_mels)])
        spread[:, self.mel_bins :] = (np.arange(n_mels) >= n_mels - _BINS_TO_GO_ON_FROM)[:, None]
        spread[:, self.mel_bins :] /= min(n_mels, _BINS_TO_GO_ON_FROM)
        self.register_buffer("spread", torch.tensor(spread).float(), persistent=False)
        self.register_buffer("mel_mean", torch.zeros(n_mels))
        self.register_buffer("mel_deviation", torch.ones(n_mels))
        self.enter = nn.Linear(2 * n_mels + 1, channels)
        norm = partial(FrameNorm, channels)
        self.layers = BlockStack(n_blocks, channels, hidden, norm=norm, kernel_size=kernel_size)
        self.norm = nn.LayerNorm(channels)
        self.leave = nn.Linear(channels, 3 * self.bins)
        nn.init.trunc_normal_(self.leave.weight, std=0.002)
        nn.init.zeros_(self.leave.bias)
        self.reach = n_blocks * (kernel_size // 2)
        # A sample depends on frames that share it, these on blocks, and those on frames whose harmonics they hear.
        self.context_frames = self.reach + self.pitch.reach + 2 * self.excitation.margin

    def set_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Per-bin statistics of the training mels: (M,), (M,)."""
        self.mel_mean.copy_(mean)
        self.mel_deviation.copy_(deviation)

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take over the weights of a vocoder that differs in its band at most; bins that it lacks stay as they are.

        Args:
            weights: its `state_dict()`.

        Raises:
            RuntimeError: when it differs in more.
        """
        taken, own = dict(weights), self.state_dict()
        for name in ("leave.weight", "leave.bias"):
            # Three rows a bin, all of the gain first, then those of the share and of the phase.
            kept, given = (rows[name].unflatten(0, (3, -1)).clone() for rows in (own, weights))
            shared = min(kept.shape[1], given.shape[1])
            kept[:, :shared] = given[:, :shared]
            taken[name] = kept.flatten(0, 1)
        self.load_state_dict(taken)

    @torch.inference_mode()
    def blocks(self, mels: Iterable[Tensor], frames: int) -> Iterator[Tensor]:
        """What `forward` gives the whole, for a mel that comes in pieces: (B, M, t), ... -> (B, n), ...

        Args:
            mels: pieces of any lengths.
            frames: how many there are in all.
        """
        first, turns = 0, torch.zeros(1, dtype=torch.float64, device=self.mel_mean.device)
        for window, start, stop in context_windows(mels, self.piece_frames, self.context_frames):
            anchor = torch.tensor([start], device=window.device)
            wav, phase = self.speak(window.float(), first - start, anchor, turns)
            yield wav[:, self.spec.samples(start) : self.spec.samples(stop)]
            turns = phase[:, min(stop, phase.shape[1] - 1)]
            first += stop - start

    def speak(self, mel: Tensor, first: int | Tensor, anchor: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """A window of an utterance in one pass: mel (B, M, T) -> wav (B, T * hop_length), phase (B, T) in turns.

        This is what is exported; what runs around it, here and there, is a loop that hands the phase on.

        Args:
            mel: natural log, with `context_frames` around what is kept of the wave.
            first: number of the window's first frame in the utterance.
            anchor: (1,) place of a frame whose phase is known.
            turns: (B,) or (1,) that phase.
        """
        f0 = self.read_pitch(mel)[1]
        phase = self.excitation.advance(f0)
        phase = phase - phase.index_select(1, anchor) + turns[:, None]
        spectra = self.spectra(mel, f0, phase[:, 0], first)
        return self.excitation.transform.invert(spectra), phase

    def synthesise(self, mel: Tensor, generator: torch.Generator | None = None) -> Synthesis:
        """With gradients, and all that losses need: (B, M, T) ->.

        Args:
            mel: natural log.
            generator: draws for each item the phase that its harmonics start at and where in the noise it starts;
                without one all start as at inference, and discriminators would learn to know that start.
        """
        logits, f0 = self.read_pitch(mel)
        turns, first = self.excitation.draw(len(mel), generator) if generator else (None, 0)
        spectra = self.spectra(mel, f0.detach(), turns, first)
        return Synthesis(self.excitation.transform.invert(spectra), logits, f0)

    def read_pitch(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and fundamental: (B, M, T) -> (B, T, K), (B, T) Hz."""
        logits = self.pitch(self._normalise(mel))
        return logits, self.pitch.fundamental(logits)

    def spectra(
        self,
        mel: Tensor,
        f0: Tensor,
        turns: Tensor | None = None,
        first: int | Tensor = 0,
        span: tuple[int, int] | None = None,
    ) -> Tensor:
        """Filtered excitation: mel (B, M, T), f0 (B, T) -> real and imaginary parts (2, B, T, F).

        Args:
            mel: natural log.
            f0: Hz.
            turns: as in `Excitation`.
            first: likewise.
            span: of the frames that are wanted, all by default; the others are read, and computed as far as they
                reach into the span.
        """
        with full_precision(mel.device.type), torch.no_grad():
            harmonics, noise = self.excitation(f0.float(), turns, first, span)
            harmonic_mel = self._mel_of(harmonics)
        gain, share, phase = self.corrections(mel, harmonic_mel, f0, span)
        if span is not None:
            mel, harmonics = mel[..., slice(*span)], harmonics[:, :, slice(*span)]
        with full_precision(mel.device.type):
            # Harmonics and noise share the power of every bin, the harmonics turned by the network's phase.
            voiced = torch.sigmoid(share.float())
            angle = torch.pi * torch.tanh(phase.float())
            cosine, sine = voiced.sqrt() * angle.cos(), voiced.sqrt() * angle.sin()
            real = harmonics[0] * cosine - harmonics[1] * sine
            imaginary = harmonics[0] * sine + harmonics[1] * cosine
            mixed = torch.stack((real, imaginary)) + noise * (1.0 - voiced + _LEAST_NOISE).sqrt()
            # The filter: what the mel asks for above what the excitation has, spread over the bins, and a correction.
            wanted = mel.float().transpose(1, 2) - self._mel_of(mixed)
            correction = _CORRECTION_NATS * torch.tanh(gain.float() / _CORRECTION_NATS)
            return mixed * (wanted @ self.spread + correction).exp()

    def corrections(
        self, mel: Tensor, harmonic_mel: Tensor, f0: Tensor, span: tuple[int, int] | None = None
    ) -> tuple[Tensor, ...]:
        """What the network adds: mel (B, M, T), mel of the harmonics (B, T, M), f0 (B, T) -> three (B, T, F).

        With a span of the frames, only theirs.
        """
        height = (f0.float() / 200.0).log2()[..., None]
        x = self.enter(torch.cat((self._normalise(mel), harmonic_mel, height), dim=-1))
        before, after = (0, 0) if span is None else (span[0], x.shape[1] - span[1])
        count = len(self.layers)
        for done, block in enumerate(self.layers, 1):
            # Frames that lie further from the span than the blocks to come reach matter no longer.
            reach = (count - done) * self.reach // count
            first, last = max(0, before - reach), max(0, after - reach)
            x = block(x)
            x = x[:, first : x.shape[1] - last] if first or last else x
            before, after = before - first, after - last
        return tuple(self.leave(self.norm(x)).chunk(3, dim=-1))

    def _mel_of(self, spectra: Tensor) -> Tensor:
        """Log-mel relative to that of a flat unit spectrum, holes filled: (2, B, T, F) -> (B, T, M)."""
        spectra = spectra[..., : self.mel_bins]
        power = spectra[0].square() + spectra[1].square()
        magnitude = (power + self.spec.magnitude_epsilon).sqrt()
        mel = (magnitude @ self.filters).clamp_min(self.spec.log_floor).log()
        around = functional.max_pool1d(mel, 2 * _NEIGHBOURS + 1, stride=1, padding=_NEIGHBOURS)
        return torch.maximum(mel, around - _CONTRAST_NATS)

    def _normalise(self, mel: Tensor) -> Tensor:
        """(B, M, T) -> (B, T, M)."""
        return (mel.transpose(1, 2) - self.mel_mean) / self.mel_deviation
