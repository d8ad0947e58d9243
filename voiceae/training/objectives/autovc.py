"""AutoVC: a narrow bottleneck separates content from voice, and the output must have the content code of the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch

from voiceae.assets import ASSETS
from voiceae.data.crops import Batch
from voiceae.data.store import FeatureStore
from voiceae.errors import ConfigError
from voiceae.io import modelfile
from voiceae.models import Autoencoder
from voiceae.models.autovc import AutoVCDecoder, AutoVCEncoder
from voiceae.models.encoders import PretrainedSpeaker
from voiceae.nn.layers import downsample_mask
from voiceae.nn.losses import reconstruction_loss
from voiceae.specs import AudioSpec
from voiceae.training.objectives.base import StepResult
from voiceae.training.objectives.reconstruction import Reconstruction


class AutoVC(Reconstruction):
    """Qian et al. 2019 (arXiv 1905.05879): reconstruction before and after the refinement, and consistent codes.

    Args:
        model: with a `AutoVCEncoder` and a `AutoVCDecoder`.
        weights: of `reconstruction`, `coarse` and `content`, all of normalised mels and codes.
        options: as of `Reconstruction`.

    Raises:
        ValueError: for a model of other parts.
    """

    def __init__(self, *, model: Autoencoder, weights: Mapping[str, Any], **options: Any) -> None:
        super().__init__(model=model, weights=weights, **options)
        if not isinstance(model.content, AutoVCEncoder) or not isinstance(model.decoder, AutoVCDecoder):
            raise ValueError("AutoVC needs the parts of model=autovc")

    @classmethod
    def configured(cls, model: Any, store: FeatureStore, options: Mapping[str, Any]) -> Self:
        """With the speaker encoder of the model file that `speaker_from` names."""
        options = dict(options)
        take_speaker(model, options.pop("speaker_from"), store.spec)
        return cls(model=model, **options)

    def forward(self, batch: Batch, step: int, generator: torch.Generator) -> StepResult:
        """All losses of one batch; see `Objective.forward`."""
        model, mask, coarse_mask = self.model, batch.mask, downsample_mask(batch.mask, self.model.rate)
        assert isinstance(model.decoder, AutoVCDecoder)
        content = model.encode(batch.mel, mask, generator=generator)
        speaker = self.speaker_embedding(batch)
        coarse, output = model.decoder.before_and_after(content.units, speaker, batch.mel.shape[-1], mask)
        target = model.normalise(batch.mel)
        # The content encoder is conditioned on the voice of the output.
        features = model.content(output, mask, speaker)
        again = model.bottleneck(features, coarse_mask)
        losses = {
            "reconstruction": reconstruction_loss(output, target, mask, self.distance),
            "coarse_reconstruction": reconstruction_loss(coarse, target, mask, self.distance),
            "content": reconstruction_loss(again.units, content.units, coarse_mask, "l1"),
            **content.bottlenecked.losses,
        }
        return self.reconstructed(losses, step, batch, content, model.denormalise(output), speaker)


def take_speaker(model: Autoencoder, source: str, spec: AudioSpec) -> None:
    """Fill a model's `PretrainedSpeaker` from a model file; from then on the model carries it.

    Args:
        model: whose speaker part is a `PretrainedSpeaker`.
        source: a model file, or the name of one that comes with the package.
        spec: mel contract that both must share.

    Raises:
        ConfigError: when the model has no such part, or the file's encoder is built in another way.
        ModelFileError: when the file is missing, damaged or no autoencoder.
        SpecMismatchError: when its mels are others.
    """
    if not isinstance(model.speaker, PretrainedSpeaker):
        raise ConfigError(
            f"loss.speaker_from={source}: the model has no PretrainedSpeaker to fill; describe one as model=autovc does"
        )
    bundled = ASSETS / f"{source}.safetensors"
    output = modelfile.load(bundled if bundled.is_file() else source, kind="autoencoder")
    output.header.spec.require_same(spec, "the speaker encoder's model", "store")
    try:
        theirs = output.module
        model.speaker.take(theirs.speaker, theirs.mel_mean, theirs.mel_deviation)  # type: ignore[arg-type]
    except ValueError as error:
        built = output.header.description.get("speaker")
        raise ConfigError(
            f"loss.speaker_from={source}: its speaker encoder is {built}; describe it so as model.speaker.encoder "
            f"({error})"
        ) from None
