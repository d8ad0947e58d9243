"""What every objective is: the losses of one batch, around the model that comes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from voiceae.data.crops import Batch, CropSampler
from voiceae.data.store import FeatureStore
from voiceae.errors import ConfigError
from voiceae.nn.losses import LossWeights
from voiceae.training.stages import Stage


@dataclass(frozen=True)
class StepResult:
    """Losses of one batch.

    Attributes:
        total: scalar to be minimised.
        losses: by name, as weighted; detached.
        stats: by name, what is only logged; detached.
        mels: (B, M, T) by name: source, target, output and, where there is one, converted; detached.
        speaker: (B, S) of the reference; detached.
        waves: (B, N) by name, where waves are made; detached.
        for_adversary: what else `adversary_loss` needs, by name; detached.
    """

    total: Tensor
    losses: dict[str, Tensor]
    stats: dict[str, Tensor]
    mels: dict[str, Tensor] = field(default_factory=dict)
    speaker: Tensor | None = None
    waves: dict[str, Tensor] = field(default_factory=dict)
    for_adversary: dict[str, Any] = field(default_factory=dict)


class Objective(nn.Module):
    """Losses of a batch, and of what learns against the model.

    Attributes:
        kind: of the model file that comes of it.
        crops: what draws its batches.
        model: what is trained and exported.
        adversary: what `adversary_loss` trains after every update of the model; empty where there is nothing.
        weights: of the losses.
        has_unused_parameters: whether some of its steps leave weights of the model without a gradient.
        stage: name of the stage that the training is in; "" where it has none.
        trains_timbre: whether its decoder is given frames of a reference, so that their lookup is learnt.
        teachers: networks that the model learns from, for the provenance: as judges they are no longer independent.
    """

    kind: ClassVar[str] = "autoencoder"
    crops: ClassVar[type[CropSampler]] = CropSampler
    has_unused_parameters: bool = False
    stage: str = ""
    trains_timbre: ClassVar[bool] = False
    teachers: tuple[str, ...] = ()
    model: Any
    adversary: Any
    weights: LossWeights

    @classmethod
    def configured(cls, model: Any, store: FeatureStore, options: Mapping[str, Any]) -> Self:
        """The objective that the `loss` node of a config describes.

        Args:
            model: what `modelfile.build` made of the `model` node.
            store: what it will be trained on.
            options: the node, without its `_target_`.

        Raises:
            KeyError, TypeError, ValueError: for options that are missing, unknown or senseless.
            ConfigError: the same, of a nested part.
        """
        raise NotImplementedError

    def enter(self, stage: Stage) -> None:
        """Go over to a stage: its weights of the losses hold from now on.

        Called before the stage's first step, and again where a run goes on within it; nothing that it does needs to
        be in a checkpoint. An objective that makes something of `stage.settings.options` reads them here.

        Raises:
            ConfigError: when there are no such losses.
            KeyError, TypeError, ValueError: for options that are missing, unknown or senseless.
        """
        self.stage = stage.name
        weights = getattr(self, "weights", None)
        if isinstance(weights, LossWeights):
            weights.change(stage.settings.weights, stage.start)
        elif stage.settings.weights:
            raise ConfigError(
                f"trainer.stages: {stage.name}.weights: {type(self).__name__} has no weights of losses"
            )

    def forward(self, batch: Any, step: int, generator: torch.Generator) -> StepResult:
        """All losses of one batch.

        Args:
            batch: what `crops` drew.
            step: for the schedules of the weights.
            generator: of every draw; on the batch's device.
        """
        raise NotImplementedError

    def result(
        self,
        losses: Mapping[str, Tensor],
        step: int,
        *,
        stats: Mapping[str, Tensor] | None = None,
        mels: Mapping[str, Tensor] | None = None,
        speaker: Tensor | None = None,
        waves: Mapping[str, Tensor] | None = None,
        for_adversary: Mapping[str, Any] | None = None,
    ) -> StepResult:
        """The losses as weighted at a step, and detached all that is logged, looked at or learnt from.

        Args:
            losses: by name.
            step: for the schedules of the weights.
            stats: as of `StepResult`, and so the rest.
            mels: see there.
            speaker: see there.
            waves: see there.
            for_adversary: see there.
        """
        total, weighted = self.weights(losses, step)
        return StepResult(
            total=total,
            losses=_detached(weighted),
            stats=_detached({f"{name}_raw": value for name, value in losses.items()}) | _detached(stats),
            mels=_detached(mels),
            speaker=None if speaker is None else speaker.detach(),
            waves=_detached(waves),
            for_adversary=dict(for_adversary or {}),
        )

    def examples(self, batch: Batch, count: int) -> dict[str, Tensor]:
        """Mels to look at: `count` items of a batch as (count, M, T) by name, the first as it was given."""
        mel, mask = batch.mel[:count], batch.mask[:count]
        reference, reference_mask = batch.reference[:count], batch.reference_mask[:count]
        model = self.model
        # Of the whole batch, for its first items may be of one speaker.
        other = batch.other_speaker[:count]
        voices = model.describe(batch.reference[other], batch.reference_mask[other])
        speaker, timbre = (part(reference, reference_mask) for part in (model.embed, model.timbre_of))
        return {
            "input": mel,
            "reconstructed": model.decode(model.encode(mel, mask), speaker, timbre=timbre),
            "converted": model.convert(mel, voices),
        }

    def adversary_loss(self, batch: Batch, result: StepResult) -> Tensor:
        """What the adversary minimises, after the model's update, on what the model made before it."""
        raise NotImplementedError


def _detached(values: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in (values or {}).items()}
