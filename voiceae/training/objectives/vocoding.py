"""A vocoder that speaks mels like recordings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.data.crops import Crops
from voiceae.data.store import FeatureStore
from voiceae.data.waves import WaveBatch, WaveCrops
from voiceae.dsp.mel import LogMel
from voiceae.dsp.statistics import active_moments, match_moments
from voiceae.dsp.yin import yin
from voiceae.io import modelfile
from voiceae.models.discriminators import WaveDiscriminators, wave_adversarial_losses, wave_discriminator_loss
from voiceae.nn.losses import LossWeights, SpectralLoss, reconstruction_loss
from voiceae.specs import AudioSpec
from voiceae.training.objectives.base import Objective, StepResult
from voiceae.vocoders.sourcefilter import SourceFilter

_PERIODIC = 0.2  # aperiodicity below which a frame has a fundamental to learn
_EDGE = 4  # frames at either end of what counts of a crop whose fundamental YIN hears only half of


class Vocoding(Objective):
    """Wave from mel, judged by spectrograms, by the fundamental, and by discriminators where there are some.

    Args:
        model: the vocoder.
        spec: its mel contract.
        weights: of the losses `spectral`, `mel` and `pitch`, and with discriminators `adversarial` and
            `feature_matching`.
        sizes: of the transforms of the spectral loss, samples.
        through: an autoencoder whose reconstructions are spoken instead of recorded mels, so that the vocoder learns
            to forgive their smoothness; None for recorded mels only.
        through_share: share of the items that go through it.
        adversary: discriminators.
    """

    kind: ClassVar[str] = "vocoder"
    crops: ClassVar[type[Crops]] = WaveCrops

    def __init__(
        self,
        *,
        model: SourceFilter,
        spec: AudioSpec,
        weights: Mapping[str, Any],
        sizes: list[int],
        through: Any = None,
        through_share: float = 0.5,
        adversary: WaveDiscriminators | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.weights = LossWeights(weights)
        self.spectral = SpectralLoss(sizes=sizes, sample_rate=spec.sample_rate, f_max=spec.f_max)
        self.mel = LogMel(spec)
        self.spec, self.through_share = spec, through_share
        self._through = (through,)  # in a tuple: its weights are no part of the training
        self.adversary = adversary or nn.Module()

    @classmethod
    def configured(cls, model: Any, store: FeatureStore, options: Mapping[str, Any]) -> Self:
        """With the autoencoder loaded from its file; see `Objective.configured`."""
        path = options["through"]
        through = modelfile.load(path, kind="autoencoder") if path else None
        if through:
            through.header.spec.require_same(store.spec, "autoencoder", "store")
        built = {"through": through and through.module, "adversary": modelfile.build(options["adversary"])}
        return cls(model=model, spec=store.spec, **{**options, **built})

    def forward(self, batch: WaveBatch, step: int, generator: torch.Generator) -> StepResult:
        """All losses of one batch."""
        chance = generator if self.training else None
        made = self.model.synthesise(self._spoken(batch, generator), chance)
        heard = self._samples(batch)
        wav = made.wav * heard  # neither the losses nor the discriminators hear what is said past the end
        mel = self.mel(made.wav)
        losses = {
            "spectral": self.spectral(wav, batch.wav, heard),
            "mel": reconstruction_loss(mel, batch.mel, batch.mask),
            "pitch": self._pitch_loss(made.pitch, batch),
        }
        if isinstance(self.adversary, WaveDiscriminators):
            losses |= wave_adversarial_losses(self.adversary, wav, batch.wav, heard)
        total, weighted = self.weights(losses, step)
        return StepResult(
            total=total,
            losses={name: value.detach() for name, value in weighted.items()},
            stats={f"{name}_raw": value.detach() for name, value in losses.items()},
            mels={"wanted": batch.mel, "given": mel.detach()},
            waves={"given": wav.detach()},
        )

    def adversary_loss(self, batch: WaveBatch, result: StepResult) -> Tensor:  # type: ignore[override]
        """What the discriminators minimise."""
        return wave_discriminator_loss(self.adversary, result.waves["given"], batch.wav, self._samples(batch))

    def examples(self, batch: WaveBatch, count: int) -> dict[str, Tensor]:  # type: ignore[override]
        """Wanted mels, and those of what the vocoder makes of them."""
        mel = batch.mel[:count]
        return {"input": mel, "spoken": self.mel(self.model.synthesise(mel).wav)}

    def _samples(self, batch: WaveBatch) -> Tensor:
        """Samples that count: (B, N)."""
        return batch.mask.repeat_interleave(self.spec.hop_length, dim=1)

    def _spoken(self, batch: WaveBatch, generator: torch.Generator) -> Tensor:
        """The mels to speak: (B, M, T)."""
        (through,) = self._through
        if through is None or not self.training:
            return batch.mel
        if through.mel_mean.device != batch.mel.device:
            through.to(batch.mel.device)
        with torch.no_grad():
            speaker = through.embed(batch.reference, batch.reference_mask)
            content = through.encode(batch.mel, batch.mask)
            mel = through.decode(content, speaker, mask=batch.mask)
            own, wanted = (active_moments(each, batch.mask) for each in (mel, batch.mel))
            mel = match_moments(mel, *wanted, own=own)
        chance = torch.rand(len(mel), 1, 1, generator=generator, device=mel.device)
        return torch.where((chance < self.through_share) & batch.mask[:, None], mel, batch.mel)

    def _pitch_loss(self, logits: Tensor, batch: WaveBatch) -> Tensor:
        """Cross-entropy against the fundamental of the recording, blurred over a bin, where it has one."""
        with torch.no_grad(), torch.autocast(logits.device.type, enabled=False):
            f0, aperiodicity = yin(batch.wav, self.spec)
            reader = self.model.pitch
            distance = (f0[..., None] / reader.grid).log2() * reader.bins_per_octave
            target = torch.softmax(-0.5 * distance.square(), dim=-1)
            whole = functional.pad(batch.mask.float(), (_EDGE, _EDGE)).unfold(-1, 2 * _EDGE + 1, 1).amin(-1)
            counts = (aperiodicity < _PERIODIC) & whole.bool()
        entropy = -(target * functional.log_softmax(logits, dim=-1)).sum(-1)
        return (entropy * counts).sum() / counts.sum().clamp_min(1)
