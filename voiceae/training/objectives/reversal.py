"""The default losses, and a classifier that looks for the speaker in the content and is to find nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor
from torch.nn import functional

from voiceae.data.batches import Batch
from voiceae.data.store import FeatureStore
from voiceae.errors import ConfigError
from voiceae.losses import Schedule
from voiceae.models import Autoencoder, Content
from voiceae.models.judges import CodeClassifier
from voiceae.nn.gradient import scale_gradient
from voiceae.nn.masking import coarser_mask
from voiceae.training.objectives.disentangling import Disentangling


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
        told = self.classifier(units, coarser_mask(batch.mask, self.model.rate))
        return {"speaker_reversed": functional.cross_entropy(told, batch.speaker)}
