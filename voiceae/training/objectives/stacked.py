"""A stack of autoencoders: each pair learns the codes of the pair outside it, then all of them learn together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from voiceae.data.crops import Batch
from voiceae.models import Autoencoder, DecoderInput, StackedContent, StackedDecoder
from voiceae.nn.losses import reconstruction_loss
from voiceae.training.objectives.base import StepResult
from voiceae.training.objectives.reconstruction import Reconstruction
from voiceae.training.stages import Stage


class Stacked(Reconstruction):
    """Greedy layer-wise training (Bengio et al. 2007; see arXiv 1206.5538).

    In a stage with the option `level` the encoder of that level, counted from 0 at the mel, hears what the levels
    outside it make of the mel, and its decoder gives that back; the innermost has the bottleneck between the two. The
    stage should train those two alone. Without the option, or without stages, the whole is trained as by
    `Reconstruction`.

    Args:
        model: with a `StackedContent` and a `StackedDecoder` of as many levels.
        options: as of `Reconstruction`.

    Raises:
        ValueError: for a model of other parts.
    """

    level: int | None = None

    def __init__(self, *, model: Autoencoder, **options: Any) -> None:
        super().__init__(model=model, **options)
        if not isinstance(model.content, StackedContent) or not isinstance(model.decoder, StackedDecoder):
            raise ValueError("Stacked needs the parts of model=stacked")
        if len(model.content.levels) != len(model.decoder.levels):
            raise ValueError(
                f"{len(model.content.levels)} levels of encoders, {len(model.decoder.levels)} of decoders: must agree"
            )
        # In tuples they are no parts of their own.
        self.content, self.decoder = (model.content,), (model.decoder,)

    @property
    def height(self) -> int:
        """How many levels there are."""
        return len(self.content[0].levels)

    def enter(self, stage: Stage) -> None:
        """See `Objective.enter`; takes the option `level`."""
        super().enter(stage)
        options = dict(stage.settings.options)
        level = options.pop("level", None)
        if options:
            raise ValueError(f"options {', '.join(options)}: there is only level")
        if level is not None and level not in range(self.height):
            raise ValueError(f"options.level {level}: the model has levels 0 to {self.height - 1}")
        self.level = level

    def forward(self, batch: Batch, step: int, generator: torch.Generator) -> StepResult:
        """All losses of one batch; see `Objective.forward`."""
        if self.level is None:
            return super().forward(batch, step, generator)
        return self.pair(self.level, batch, step, generator)

    def pair(self, level: int, batch: Batch, step: int, generator: torch.Generator) -> StepResult:
        """What one level's decoder makes of its encoder's code, against what that encoder was given."""
        model, encoder = self.model, self.content[0]
        masks = encoder.masks(batch.mask)
        with torch.no_grad():
            target = encoder.encode_to_level(model.normalise(batch.mel), batch.mask, level)
        code = encoder.levels[level](target, masks[level])
        losses, stats = {}, {}
        if level == self.height - 1:
            passed = model.bottleneck(code, masks[-1], model.noise(code, generator))
            code, losses, stats = passed.units, dict(passed.losses), dict(passed.stats)
        output = self.give_back(level, code, batch, target.shape[-1], masks[level])
        losses["reconstruction"] = reconstruction_loss(output, target, masks[level], self.distance)
        return self.result(losses, step, stats=stats)

    def give_back(self, level: int, code: Tensor, batch: Batch, frames: int, mask: Tensor | None) -> Tensor:
        """Decode one level: code (B, D, T_out) -> (B, C, T_in), the normalised mel at level 0."""
        speaker, decoder = self.speaker_embedding(batch), self.decoder[0]
        if level:
            return decoder.decode_level(level, code, speaker, frames, mask)
        with torch.no_grad():
            pitch = self.model.pitch(batch.mel, mask)
            harmonics = self.model.pitch.render(pitch)
        mel: Tensor = decoder.levels[0](DecoderInput(code, speaker, pitch, harmonics, mask))
        return mel
