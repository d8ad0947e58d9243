"""Train the source-filter vocoder: spectral losses, F0, and optionally discriminators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from voiceae.data.crops import CropSampler
from voiceae.data.store import FeatureStore
from voiceae.data.waves import WaveBatch, WaveCropSampler
from voiceae.dsp.filters import low_pass
from voiceae.dsp.mel import LogMel
from voiceae.dsp.spectrum import mel_corners
from voiceae.dsp.statistics import active_moments, match_moments
from voiceae.dsp.yin import yin
from voiceae.io import modelfile
from voiceae.models.discriminators import (
    NoAdversary,
    WaveDiscriminators,
    wave_adversarial_losses,
    wave_discriminator_loss,
)
from voiceae.nn.losses import LossWeights, MultiResolutionSTFTLoss, reconstruction_loss
from voiceae.specs import AudioSpec
from voiceae.training.objectives.base import Objective, StepResult
from voiceae.vocoders.sourcefilter import SourceFilter

# Aperiodicity below which a frame counts as voiced; the paper of YIN (de Cheveigne and Kawahara 2002) has 0.1.
_PERIODIC = 0.2
# Of a recording's band, from where on its resampler's filter has taken something away
_FULL_BELOW = 0.97
_EDGE = 4  # frames at either end of a crop that YIN's window reaches out of, so that its F0 is not to be relied on


class VocoderObjective(Objective):
    """Waves from mels: losses of spectrograms, of the mel and of F0, and a GAN's where there are discriminators.

    Args:
        model: the vocoder.
        spec: its mel contract.
        weights: of the losses `spectral`, `mel` and `pitch`, and with discriminators `adversarial` and
            `feature_matching`.
        fft_sizes: of the spectral loss, samples.
        autoencoder: whose reconstructions take the place of recorded mels, so that the vocoder learns to make up for
            their smoothness; None for recorded mels only.
        reconstructed_share: share of the items that are reconstructed.
        narrowed_share: share of the recorded mels that are made as if the recording ended with the mel, though it goes
            on: of those the vocoder learns what lies above a recording of 16 kHz.
        adversary: discriminators.
    """

    kind: ClassVar[str] = "vocoder"
    crops: ClassVar[type[CropSampler]] = WaveCropSampler
    _mel_ends: Tensor

    def __init__(
        self,
        *,
        model: SourceFilter,
        spec: AudioSpec,
        weights: Mapping[str, Any],
        fft_sizes: list[int],
        autoencoder: Any = None,
        reconstructed_share: float = 0.5,
        narrowed_share: float = 0.5,
        adversary: WaveDiscriminators | NoAdversary | None = None,
    ) -> None:
        super().__init__()
        self.model, self.weights = model, LossWeights(weights)
        self.spectral = MultiResolutionSTFTLoss(
            fft_sizes=fft_sizes, sample_rate=spec.sample_rate, f_max=model.band
        )
        self.mel = LogMel(spec)
        self.spec, self.reconstructed_share, self.narrowed_share = spec, reconstructed_share, narrowed_share
        self.register_buffer("_mel_ends", torch.tensor(mel_corners(spec)[2:]).float(), persistent=False)
        self._autoencoder = (autoencoder,)  # in a tuple, for its weights are not trained
        self.adversary = adversary or NoAdversary()

    @classmethod
    def configured(cls, model: Any, store: FeatureStore, options: Mapping[str, Any]) -> Self:
        """With the autoencoder loaded from its file; see `Objective.configured`."""
        options = dict(options)
        path, autoencoder = options.pop("finetune_on_reconstructions_of"), None
        adversary = modelfile.build(options.pop("adversary"))
        if path:
            given = modelfile.load(path, kind="autoencoder")
            given.header.spec.require_same(store.spec, "autoencoder", "store")
            autoencoder = given.module
        return cls(model=model, spec=store.spec, autoencoder=autoencoder, adversary=adversary, **options)

    def forward(self, batch: WaveBatch, step: int, generator: torch.Generator) -> StepResult:
        """All losses of one batch."""
        noise = generator if self.training else None
        made = self.model.synthesise(self._input_mels(batch, generator), noise)
        valid, recorded = self._valid_samples(batch), self._comparable(batch.wav, batch)
        wav = self._comparable(made.wav, batch)
        mel = self.mel(made.wav)
        # A mel bin that reaches out of the recording's band is no example.
        heard = (self._mel_ends <= self._band(batch)[:, None])[..., None]
        losses = {
            "spectral": self.spectral(wav, recorded, valid),
            "mel": reconstruction_loss(torch.where(heard, mel, batch.mel), batch.mel, batch.mask),
            "pitch": self._pitch_loss(made.pitch, batch),
        }
        if self.adversary.active:
            losses |= wave_adversarial_losses(self.adversary, wav, recorded, valid)
        return self.result(losses, step, mels={"target": batch.mel, "output": mel}, waves={"output": wav})

    def adversary_loss(self, batch: WaveBatch, result: StepResult) -> Tensor:  # type: ignore[override]
        """The discriminators' least-squares loss."""
        recorded = self._comparable(batch.wav, batch)
        return wave_discriminator_loss(
            self.adversary, result.waves["output"], recorded, self._valid_samples(batch)
        )

    def examples(self, batch: WaveBatch, count: int) -> dict[str, Tensor]:  # type: ignore[override]
        """Mels of recordings, and of the waves that the vocoder makes of them."""
        mel = batch.mel[:count]
        return {"input": mel, "spoken": self.mel(self.model.synthesise(mel).wav)}

    def _valid_samples(self, batch: WaveBatch) -> Tensor:
        """Samples that count: (B, N)."""
        return batch.mask.repeat_interleave(self.spec.hop_length, dim=1)

    def _band(self, batch: WaveBatch) -> Tensor:
        """How far every recording is an example of the voice, never beyond the vocoder's own band: (B,) Hz."""
        usable = torch.where(batch.band < self.model.band, _FULL_BELOW * batch.band, batch.band)
        return usable.clamp(max=self.model.band)

    def _comparable(self, wav: Tensor, batch: WaveBatch) -> Tensor:
        """What counts of a wave, made or recorded: up to the recording's band, and not past its end: (B, N).

        The losses and the discriminators see both waves so, and cannot tell them apart by a band that one lacks.
        """
        return low_pass(wav, self._band(batch), self.spec.sample_rate) * self._valid_samples(batch)

    def _input_mels(self, batch: WaveBatch, generator: torch.Generator) -> Tensor:
        """The mels that the vocoder gets, some of them reconstructed: (B, M, T)."""
        (autoencoder,) = self._autoencoder
        if not self.training:
            return batch.mel
        recorded = self._narrowed(batch, generator)
        if autoencoder is None:
            return recorded
        if autoencoder.mel_mean.device != batch.mel.device:
            autoencoder.to(batch.mel.device)
        with torch.no_grad():
            speaker = autoencoder.embed(batch.reference, batch.reference_mask)
            timbre = autoencoder.timbre_of(batch.reference, batch.reference_mask)
            content = autoencoder.encode(batch.mel, batch.mask)
            mel = autoencoder.decode(content, speaker, timbre=timbre, mask=batch.mask)
            own, target = (active_moments(each, batch.mask) for each in (mel, batch.mel))
            mel = match_moments(mel, *target, own=own)
        drawn = torch.rand(len(mel), 1, 1, generator=generator, device=mel.device)
        return torch.where((drawn < self.reconstructed_share) & batch.mask[:, None], mel, recorded)

    def _narrowed(self, batch: WaveBatch, generator: torch.Generator) -> Tensor:
        """Recorded mels, some of them as of recordings that end with the mel: (B, M, T)."""
        drawn = torch.rand(len(batch.mel), generator=generator, device=batch.mel.device) < self.narrowed_share
        chosen = drawn & (self._band(batch) > self.spec.f_max)
        cutoff = torch.full_like(batch.band, self.spec.f_max)
        narrow = self.mel(low_pass(batch.wav, cutoff, self.spec.sample_rate))
        return torch.where(chosen[:, None, None] & batch.mask[:, None], narrow, batch.mel)

    def _pitch_loss(self, logits: Tensor, batch: WaveBatch) -> Tensor:
        """Cross-entropy against the recording's F0 by YIN as a Gaussian of one bin, over voiced frames."""
        with torch.no_grad(), torch.autocast(logits.device.type, enabled=False):
            f0, aperiodicity = yin(batch.wav, self.spec)
            reader = self.model.pitch
            distance = (f0[..., None] / reader.grid).log2() * reader.bins_per_octave
            target = torch.softmax(-0.5 * distance.square(), dim=-1)
            whole = functional.pad(batch.mask.float(), (_EDGE, _EDGE)).unfold(-1, 2 * _EDGE + 1, 1).amin(-1)
            counts = (aperiodicity < _PERIODIC) & whole.bool()
        entropy = -(target * functional.log_softmax(logits, dim=-1)).sum(-1)
        return (entropy * counts).sum() / counts.sum().clamp_min(1)
