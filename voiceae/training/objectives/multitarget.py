"""Many voices of one table: an autoencoder whose code hides the speaker, then a generator that adds the detail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.data.crops import Batch
from voiceae.models import Autoencoder
from voiceae.models.decoders import DecoderInput
from voiceae.models.discriminators import mel_adversarial_loss, mel_discriminator_loss
from voiceae.models.encoders import SpeakerTable
from voiceae.models.multitarget import CodeClassifier, PatchDiscriminator, ResidualDecoder
from voiceae.nn.layers import downsample_mask
from voiceae.nn.losses import reconstruction_loss
from voiceae.training.objectives.base import StepResult
from voiceae.training.objectives.reconstruction import Reconstruction

SECOND = "refine"
"""Name of the second stage; any other is the first."""

MOST_CONFUSION = 2.0
"""Times the cross-entropy of guessing: beyond it the code need not be pushed."""


class MultiTarget(Reconstruction):
    """Chou et al. 2018 (arXiv 1804.02812).

    In the first stage an autoencoder reconstructs with its speakers' rows of a table, and a classifier that looks for
    the speaker in the code is to be misled by it, more and more. In the second the autoencoder stays as it is; a
    generator adds detail to what it decodes in voices drawn at random, so that a discriminator takes it for recorded
    and recognises the drawn voice. Its losses are least squares, where the paper has Wasserstein's with its penalty.

    Args:
        model: with a `SpeakerTable` and a `ResidualDecoder`.
        weights: of `reconstruction`, `recognition` (of the table's recogniser), `confusion` (of the classifier) and,
            in the second stage, `adversarial` and `voice`.
        channels: of the classifier and the discriminator.
        options: as of `Reconstruction`; a reference is what the recogniser learns from.

    Raises:
        ValueError: for a model of other parts.
    """

    def __init__(
        self, *, model: Autoencoder, weights: Mapping[str, Any], channels: int = 192, **options: Any
    ) -> None:
        super().__init__(model=model, weights=weights, **options)
        if not isinstance(model.speaker, SpeakerTable) or not isinstance(model.decoder, ResidualDecoder):
            raise ValueError("MultiTarget needs the parts of model=multitarget")
        shape = {"n_speakers": model.speaker.n_speakers, "channels": channels}
        self.adversary = nn.ModuleDict(
            {
                "classifier": CodeClassifier(dim=model.bottleneck.dim, **shape),
                "discriminator": PatchDiscriminator(n_mels=len(model.mel_mean), **shape),
            }
        )

    @property
    def table(self) -> SpeakerTable:
        """The trained embeddings, one for each speaker."""
        assert isinstance(self.model.speaker, SpeakerTable)
        return self.model.speaker

    @property
    def decoder(self) -> ResidualDecoder:
        """The decoder of both stages."""
        assert isinstance(self.model.decoder, ResidualDecoder)
        return self.model.decoder

    def forward(self, batch: Batch, step: int, generator: torch.Generator) -> StepResult:
        """All losses of one batch; see `Objective.forward`."""
        if not self.training:
            return super().forward(batch, step, generator)  # new speakers: the recogniser finds their rows
        stage = self.refine if self.stage == SECOND else self.hide
        return stage(batch, step, generator)

    def hide(self, batch: Batch, step: int, generator: torch.Generator) -> StepResult:
        """First stage: reconstruct, and hide the speaker from the classifier."""
        model, mask = self.model, batch.mask
        content = model.encode(batch.mel, mask, generator=generator)
        speaker = self.table.lookup(batch.speaker)
        harmonics = model.pitch.render(content.pitch)
        normalised = self.decoder.decoder(
            DecoderInput(content.units, speaker, content.pitch, harmonics, mask)
        )
        output = model.denormalise(normalised)
        logits = self.adversary["classifier"](content.units, downsample_mask(mask, model.rate))
        recognised = self.table.recognise(model.normalise(batch.reference), batch.reference_mask)
        guessing = log(max(2, self.table.n_speakers))
        losses = {
            "reconstruction": reconstruction_loss(output, batch.mel, mask, self.distance),
            "speaker_recognition": functional.cross_entropy(recognised, batch.speaker),
            "speaker_confusion": -functional.cross_entropy(logits, batch.speaker).clamp_max(
                MOST_CONFUSION * guessing
            ),
            **content.bottlenecked.losses,
        }
        units = {"units": content.units.detach()}
        return self.reconstructed(losses, step, batch, content, output, speaker, for_adversary=units)

    def refine(self, batch: Batch, step: int, generator: torch.Generator) -> StepResult:
        """Second stage: add to what the autoencoder says in drawn voices; only the generator learns."""
        model, mask = self.model, batch.mask
        drawn = torch.randint(
            self.table.n_speakers, batch.speaker.shape, generator=generator, device=mask.device
        )
        with torch.no_grad():
            content = model.encode(batch.mel, mask, generator=generator)
            speaker = self.table.lookup(drawn)
            harmonics = model.pitch.render(content.pitch)
            inputs = DecoderInput(content.units, speaker, content.pitch, harmonics, mask)
            coarse = self.decoder.decoder(inputs)
        detail = self.decoder.generator(inputs)
        normalised = coarse + self.decoder.gain * detail
        score, logits = self.adversary["discriminator"](normalised, mask)
        losses = {
            "adversarial": mel_adversarial_loss(score),
            "speaker_classification": functional.cross_entropy(logits, drawn),
        }
        output = model.denormalise(normalised)
        result = self.reconstructed(losses, step, batch, content, output, speaker)
        return replace(result, mels={**result.mels, "converted": output.detach()})

    def adversary_loss(self, batch: Batch, result: StepResult) -> Tensor:
        """The classifier's loss in the first stage, the discriminator's in the second."""
        if "units" in result.for_adversary:
            valid = downsample_mask(batch.mask, self.model.rate)
            logits = self.adversary["classifier"](result.for_adversary["units"], valid)
            return functional.cross_entropy(logits, batch.speaker)
        real, voice = self.adversary["discriminator"](self.model.normalise(batch.mel), batch.mask)
        made, _ = self.adversary["discriminator"](self.model.normalise(result.mels["converted"]), batch.mask)
        return mel_discriminator_loss(real, [made]) + functional.cross_entropy(voice, batch.speaker)
