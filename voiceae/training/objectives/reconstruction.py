"""Reconstruct speech from its own content and a voice: what most published systems of this family are trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from voiceae.data.crops import Batch
from voiceae.data.store import FeatureStore
from voiceae.errors import ConfigError
from voiceae.models import Autoencoder, Content
from voiceae.nn.losses import LossWeights, reconstruction_loss
from voiceae.training.objectives.base import Objective, StepResult

REFERENCES = ("own", "other")


class Reconstruction(Objective):
    """Nothing is changed on the way: that content and voice part is left to how the model is built.

    Args:
        model: the autoencoder.
        weights: of the losses: `reconstruction`, and what the bottleneck has.
        distance: of the reconstruction: l1, l2 or huber.
        reference: what the speaker part hears: "own", the very crop that is to be reconstructed, or "other" speech of
            the speaker.

    Raises:
        ConfigError: for an unknown reference.
    """

    def __init__(
        self, *, model: Autoencoder, weights: Mapping[str, Any], distance: str = "l1", reference: str = "own"
    ) -> None:
        super().__init__()
        if reference not in REFERENCES:
            raise ConfigError(f"loss.reference={reference}: is not one of {', '.join(REFERENCES)}")
        self.model, self.weights = model, LossWeights(weights)
        self.distance, self.reference = distance, reference

    @classmethod
    def configured(cls, model: Any, store: FeatureStore, options: Mapping[str, Any]) -> Self:
        """The objective of a config, see `Objective.configured`."""
        return cls(model=model, **options)

    def forward(self, batch: Batch, step: int, generator: torch.Generator) -> StepResult:
        """All losses of one batch; see `Objective.forward`."""
        model, mask = self.model, batch.mask
        content = model.encode(batch.mel, mask, generator=generator)
        speaker = self.speaker_embedding(batch)
        output = model.decode(content, speaker, mask=mask)
        losses = {
            "reconstruction": reconstruction_loss(output, batch.mel, mask, self.distance),
            **content.bottlenecked.losses,
        }
        return self.reconstructed(losses, step, batch, content, output, speaker)

    def speaker_embedding(self, batch: Batch) -> Tensor:
        """What the speaker part makes of its reference: -> (B, S)."""
        if self.reference == "own":
            return self.model.embed(batch.mel, batch.mask)
        return self.model.embed(batch.reference, batch.reference_mask)

    def reconstructed(
        self,
        losses: Mapping[str, Tensor],
        step: int,
        batch: Batch,
        content: Content,
        output: Tensor,
        speaker: Tensor,
        **more: Any,
    ) -> StepResult:
        """The result of a batch whose target is its own mel.

        Args:
            losses: by name.
            step: for the schedules.
            batch: that they are of.
            content: of the batch.
            output: (B, M, T) what the model made of it.
            speaker: (B, S).
            more: as of `Objective.result`.
        """
        mels = {"source": batch.mel, "target": batch.mel, "output": output}
        stats = content.bottlenecked.stats
        return self.result(losses, step, stats=stats, mels=mels, speaker=speaker, **more)
