"""The default losses, and a classifier that looks for the speaker in the content and is to find nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.data.crops import Batch
from voiceae.data.store import FeatureStore
from voiceae.dsp.vocal_tract import VocalTractPerturbation
from voiceae.errors import ConfigError
from voiceae.io import modelfile
from voiceae.models import Autoencoder, Content
from voiceae.models.discriminators import (
    CodeClassifier,
    MelDiscriminator,
    NoAdversary,
    feature_matching_loss,
    mel_adversarial_loss,
    mel_discriminator_loss,
)
from voiceae.nn.layers import scale_gradient
from voiceae.nn.losses import LossWeights, Schedule, contrastive_loss, reconstruction_loss
from voiceae.nn.masking import downsample_mask
from voiceae.training.objectives.base import Objective, StepResult


class Disentangling(Objective):
    """Reconstruct in one voice what was heard in another, from a reference in the wanted voice.

    Content is heard through one random change of voice, reference and wanted mel through another, so that the network
    learns from single recordings to take vocal-tract length and colour from the reference. With a critic, every
    content is also said in the voice of another item: a critic, the speaker encoder and the content encoder judge it.

    Args:
        model: the autoencoder.
        changer: draws and applies the changes of voice.
        weights: of the losses: `reconstruction`, `speaker`, `kl` or `commitment` as the bottleneck has it, and with a
            critic `adversarial`, `feature_matching`, `conversion_speaker` and `conversion_content`.
        distance: of the reconstruction: l1, l2 or huber.
        changed: share of the items that are changed at all.
        adversary: the critic.
    """

    def __init__(
        self,
        *,
        model: Autoencoder,
        changer: VocalTractPerturbation,
        weights: Mapping[str, Any],
        distance: str = "l1",
        changed: float = 0.75,
        adversary: MelDiscriminator | NoAdversary | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= changed <= 1:
            raise ConfigError(f"loss.changed {changed}: must lie between 0 and 1")
        self.model = model
        self.changer = changer
        self.weights = LossWeights(weights)
        self.distance = distance
        self.changed = changed
        self.adversary = adversary or NoAdversary()
        self.log_scale = nn.Parameter(torch.tensor(2.7))

    @classmethod
    def configured(cls, model: Any, store: FeatureStore, options: Mapping[str, Any]) -> Self:
        """With the changes of voice in the store's mel contract; see `Objective.configured`."""
        changer = VocalTractPerturbation(store.spec, **options["changer"])
        adversary = modelfile.build(options.get("adversary"))
        return cls(model=model, **{**options, "changer": changer, "adversary": adversary})

    def forward(self, batch: Batch, step: int, generator: torch.Generator) -> StepResult:
        """All losses of one batch.

        Args:
            batch: crops and references.
            step: for the schedules of the weights.
            generator: of every draw; on the batch's device.
        """
        model, mask = self.model, batch.mask
        wanted, reference, heard = self._change_voices(batch, generator)
        content = model.with_pitch_of(model.encode(heard, mask, generator=generator), wanted, mask)
        speaker = model.embed(reference, batch.reference_mask)
        given = model.decode(content, speaker, mask=mask)
        losses = {
            "reconstruction": reconstruction_loss(given, wanted, mask, self.distance),
            "speaker": contrastive_loss(
                speaker, model.embed(wanted, mask), self.log_scale.exp(), batch.speaker
            ),
            **content.bottlenecked.losses,
            **self.further_losses(batch, content, step),
        }
        mels = {"heard": heard, "wanted": wanted, "given": given}
        if self.adversary.active:
            mels["converted"], judged = self._convert(batch, content, speaker)
            losses |= judged | self._criticise(mels, speaker.detach(), batch)
        total, weighted = self.weights(losses, step)
        return StepResult(
            total=total,
            losses={name: value.detach() for name, value in weighted.items()},
            stats={f"{name}_raw": value.detach() for name, value in losses.items()}
            | {name: value.detach() for name, value in content.bottlenecked.stats.items()},
            mels={name: mel.detach() for name, mel in mels.items()},
            speaker=speaker.detach(),
        )

    def further_losses(self, batch: Batch, content: Content, step: int) -> dict[str, Tensor]:
        """What an objective built on this one adds: losses by name."""
        return {}

    def adversary_loss(self, batch: Batch, result: StepResult) -> Tensor:
        """What the critic minimises, on the mels that the model has just made."""
        assert isinstance(self.adversary, MelDiscriminator) and result.speaker is not None
        judged = {
            name: self.adversary(self.model.normalise(result.mels[name]), speaker, batch.mask)
            for name, speaker in (
                ("wanted", result.speaker),
                ("given", result.speaker),
                ("converted", result.speaker[batch.other]),
            )
        }
        return mel_discriminator_loss(judged["wanted"], [judged["given"], judged["converted"]])

    def _convert(self, batch: Batch, content: Content, speaker: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Every content in the voice of an item of another speaker, which must be heard in it, and the content too."""
        mask, other = batch.mask, speaker[batch.other].detach()
        octaves = content.pitch_centre[batch.other] - content.pitch_centre
        converted = self.model.decode(content, other, octaves=octaves, mask=mask)
        normalised = self.model.normalise(converted)
        voice = _call_frozen(self.model.speaker, normalised, mask)
        features = _call_frozen(self.model.content, normalised, mask)
        coarse = downsample_mask(mask, self.model.rate)
        return converted, {
            "conversion_speaker": contrastive_loss(
                voice, other, self.log_scale.exp().detach(), batch.speaker[batch.other]
            ),
            "conversion_content": reconstruction_loss(features, content.features.detach(), coarse, "l2"),
        }

    def _criticise(self, mels: Mapping[str, Tensor], speaker: Tensor, batch: Batch) -> dict[str, Tensor]:
        """How far the critic is from taking the model's mels for recordings."""
        judge, normalise, mask = self.adversary, self.model.normalise, batch.mask
        real = judge(normalise(mels["wanted"]), speaker, mask)
        given = judge(normalise(mels["given"]), speaker, mask)
        converted = judge(normalise(mels["converted"]), speaker[batch.other], mask)
        return {
            "adversarial": 0.5 * (mel_adversarial_loss(given) + mel_adversarial_loss(converted)),
            "feature_matching": feature_matching_loss(real, given),
        }

    def _change_voices(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Wanted, reference (one voice) and heard (another): (B, M, T), (B, M, R), (B, M, T)."""
        items = len(batch.mel)
        if not self.training:
            return batch.mel, batch.reference, batch.mel
        voice, other = (self.changer.draw(items, generator, share=self.changed) for _ in range(2))
        return (
            self.changer(batch.mel, voice),
            self.changer(batch.reference, voice),
            self.changer(batch.mel, other),
        )


def _call_frozen(module: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
    """Let a module judge without learning from it: the gradient goes to `x` alone."""
    weights = {name: weight.detach() for name, weight in module.named_parameters()}
    judged: Tensor = torch.func.functional_call(module, weights, (x, mask))
    return judged


class Reversal(Disentangling):
    """A gradient-reversal layer between content and a speaker classifier (Ganin and Lempitsky 2015, arXiv 1409.7495).

    One update trains both: the classifier to tell the training speakers apart, the encoder, through the reversed
    gradient, to leave nothing to tell them by. The loss, `speaker_reversed`, is the classifier's, in nats; guessing
    would give the logarithm of the number of speakers. It is not part of validation, whose speakers are others.

    Args:
        model: the autoencoder.
        n_speakers: of the training.
        strength: of the reversal: a number, or a schedule as of a weight, to let the classifier learn first.
        channels: of the classifier.
        options: as of `Disentangling`, with a weight of `speaker_reversed`.

    Raises:
        ConfigError: for a schedule that makes no sense.
    """

    def __init__(
        self,
        *,
        model: Autoencoder,
        n_speakers: int,
        strength: float | Mapping[str, Any] = 1.0,
        channels: int = 128,
        **options: Any,
    ) -> None:
        super().__init__(model=model, **options)
        try:
            self.strength = Schedule(**strength) if isinstance(strength, Mapping) else Schedule(strength)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"loss.strength: {error}") from error
        self.classifier = CodeClassifier(
            dim=model.bottleneck.dim,
            n_speakers=n_speakers,
            channels=channels,
        )

    @classmethod
    def configured(cls, model: Any, store: FeatureStore, options: Mapping[str, Any]) -> Self:
        """See `Objective.configured`."""
        return super().configured(model, store, {"n_speakers": len(store.speakers), **options})

    def further_losses(self, batch: Batch, content: Content, step: int) -> dict[str, Tensor]:
        """The classifier's loss, with the gradient reversed behind it."""
        if not self.training:
            return {}
        units = scale_gradient(content.units, -self.strength(step))
        told = self.classifier(units, downsample_mask(batch.mask, self.model.rate))
        return {"speaker_reversed": functional.cross_entropy(told, batch.speaker)}
