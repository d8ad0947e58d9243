"""The speaker encoder by itself: a margin among the training speakers, and the geometry of a teacher's space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from voiceae.data.crops import Batch
from voiceae.data.speaker_teacher import read_speaker_teacher
from voiceae.data.store import FeatureStore
from voiceae.dsp.channel_perturbation import ChannelPerturbation
from voiceae.nn.losses import LossWeights, contrastive_loss, margin_loss, relational_loss
from voiceae.pretrained import dvector
from voiceae.training.objectives.base import Objective, StepResult


class SpeakerTraining(Objective):
    """Learn a model's speaker encoder alone, so that it hears the voice and not the recording.

    The crop and the reference of an item, two clips of one voice where there are two, go through recording channels
    drawn independently. Their vectors are classified among the training speakers with an additive margin (AM-softmax,
    arXiv 1801.05599), must find each other in the batch, and, where the store has a teacher's vectors, are led towards
    the teacher's space: by cosines through a linear head, and by the cosines between the items of a batch (relational
    distillation, arXiv 1904.05068). The teacher is asked once, on whole clips as they are; what it says of all clips of
    a speaker is averaged, for a mean of clips is more of the voice and less of a day.

    Args:
        model: whose speaker encoder is trained; the other parts stay as they are.
        channel: recording channels: draws their parameters, and applies them.
        n_speakers: of the training.
        weights: of the losses: `margin`, `speaker` (each finds the other), `teacher` and `relation`.
        margin: of the cosine.
        scale: of the cosines before the softmax.
        teacher: (N, E) unit vectors by row of the store; None to learn without a teacher.
    """

    has_unused_parameters = True
    trains_timbre = True  # the leg after this one does
    teacher: Tensor | None

    def __init__(
        self,
        *,
        model: Any,
        channel: ChannelPerturbation,
        n_speakers: int,
        weights: Mapping[str, Any],
        margin: float = 0.2,
        scale: float = 30.0,
        teacher: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.model, self.channel, self.weights = model, channel, LossWeights(weights)
        self.margin, self.scale = margin, scale
        self.log_scale = nn.Parameter(torch.tensor(2.7))  # CLIP's start, as in `Disentangling`
        self.classes = nn.Parameter(torch.randn(n_speakers, model.speaker.dim))
        self.head = nn.Linear(model.speaker.dim, 1 if teacher is None else teacher.shape[1])
        self.register_buffer("teacher", teacher, persistent=False)
        self.teachers = (
            () if teacher is None else (dvector.NAME,)
        )  # the only one that a store is prepared with

    @classmethod
    def configured(cls, model: Any, store: FeatureStore, options: Mapping[str, Any]) -> Self:
        """With the channels in the store's mel contract, and its teacher's vectors if it has them."""
        channel = ChannelPerturbation(store.spec, **options["channel"])
        found = read_speaker_teacher(store)
        teacher = None if found is None else speaker_means(torch.from_numpy(found), store)
        return cls(
            model=model,
            n_speakers=len(store.speakers),
            teacher=teacher,
            **{**options, "channel": channel},
        )

    def forward(self, batch: Batch, step: int, generator: torch.Generator) -> StepResult:
        """All losses of one batch; see `Objective.forward`."""
        crops = ((batch.mel, batch.mask), (batch.reference, batch.reference_mask))
        heard = [(self._through_channel(mel, generator), mask) for mel, mask in crops]
        first, second = (self.model.embed(mel, mask) for mel, mask in heard)
        losses = {"speaker": contrastive_loss(first, second, self.log_scale.exp(), batch.speaker)}
        vectors = torch.cat((first, second))
        if self.training:  # the speakers of validation are no classes
            classes = functional.normalize(self.classes, dim=-1)
            losses["margin"] = margin_loss(
                vectors, classes, batch.speaker.repeat(2), margin=self.margin, scale=self.scale
            )
        if self.teacher is not None:
            wanted = self.teacher[batch.index].repeat(2, 1)
            losses["teacher"] = 1 - functional.cosine_similarity(self.head(vectors).float(), wanted).mean()
            losses["relation"] = relational_loss(vectors, wanted)
        mels = {"source": heard[0][0], "target": batch.mel, "output": heard[1][0]}
        return self.result(losses, step, stats={}, mels=mels, speaker=first)

    def _through_channel(self, mel: Tensor, generator: torch.Generator) -> Tensor:
        # In validation too: what is wanted is that the channel does not count. The draw is the validation's own.
        return self.channel(mel, self.channel.draw(len(mel), mel.shape[-1], generator))


def speaker_means(vectors: Tensor, store: FeatureStore) -> Tensor:
    """Every utterance's vector replaced by the mean of its speaker's, of unit length: (N, E) -> (N, E)."""
    names = sorted({utterance.speaker for utterance in store.utterances})
    place = {name: number for number, name in enumerate(names)}
    speaker = torch.tensor([place[utterance.speaker] for utterance in store.utterances])
    sums = torch.zeros(len(names), vectors.shape[1]).index_add_(0, speaker, vectors.float())
    return functional.normalize(sums[speaker], dim=-1)
