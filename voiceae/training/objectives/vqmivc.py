"""VQMIVC: quantised content, pitch and voice with little mutual information."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from voiceae.data.crops import Batch
from voiceae.models import Autoencoder, Content
from voiceae.nn.layers import downsample_mask, masked_average_pool
from voiceae.nn.losses import CLUBEstimator, CPCLoss, reconstruction_loss
from voiceae.training.objectives.base import StepResult
from voiceae.training.objectives.reconstruction import Reconstruction

CONTOUR = 2
"""Numbers a frame that the pitch stream comes down to."""


class VQMIVC(Reconstruction):
    """Wang et al. 2021 (arXiv 2106.10132): reconstruction, CPC of the units, little mutual information.

    The information between content and voice, content and pitch, and pitch and voice is bounded from above by vCLUB;
    its estimators are the adversary, and learn after every step from the codes of that step. Pitch is taken relative
    to its median, as the paper takes it relative to the speaker's.

    Args:
        model: with a bottleneck and a pitch stream.
        weights: of `reconstruction`, `commitment`, `cpc` and `mutual_information`.
        hidden: width of the estimators.
        prediction_steps: units that CPC predicts.
        options: as of `Reconstruction`.
    """

    def __init__(
        self,
        *,
        model: Autoencoder,
        weights: Mapping[str, Any],
        hidden: int = 256,
        prediction_steps: int = 6,
        **options: Any,
    ) -> None:
        super().__init__(model=model, weights=weights, **options)
        units, voice = int(model.bottleneck.dim), model.speaker.dim
        self.cpc = CPCLoss(dim=units, prediction_steps=prediction_steps)
        self.adversary = nn.ModuleDict(
            {
                "voice_content": CLUBEstimator(x_dim=voice, y_dim=units, hidden=hidden),
                "pitch_content": CLUBEstimator(x_dim=CONTOUR, y_dim=units, hidden=hidden),
                "voice_pitch": CLUBEstimator(x_dim=voice, y_dim=CONTOUR, hidden=hidden),
            }
        )

    def forward(self, batch: Batch, step: int, generator: torch.Generator) -> StepResult:
        """All losses of one batch; see `Objective.forward`."""
        model, mask = self.model, batch.mask
        content = model.encode(batch.mel, mask, generator=generator)
        speaker = self.speaker_embedding(batch)
        output = model.decode(content, speaker, mask=mask)
        pairs = self.pairs(content, speaker, mask)
        losses = {
            "reconstruction": reconstruction_loss(output, batch.mel, mask, self.distance),
            "cpc": self.cpc(content.units, downsample_mask(mask, model.rate)),
            "mutual_information": torch.stack(
                [self.adversary[name](*pair) for name, pair in pairs.items()]
            ).sum(),
            **content.bottlenecked.losses,
        }
        codes = {name: (x.detach(), y.detach(), valid) for name, (x, y, valid) in pairs.items()}
        return self.reconstructed(losses, step, batch, content, output, speaker, for_adversary=codes)

    def adversary_loss(self, batch: Batch, result: StepResult) -> Tensor:
        """What the estimators minimise: the negative log-likelihood of the codes."""
        losses = [self.adversary[name].learning_loss(*pair) for name, pair in result.for_adversary.items()]
        return torch.stack(losses).sum()

    def pairs(
        self, content: Content, speaker: Tensor, mask: Tensor
    ) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """By estimator: what is known (B, T' or 1, X), what is guessed (B, T', Y), and the mask (B, T')."""
        voice, units = speaker[:, None], content.units.transpose(1, 2)
        contour = pitch_contour(content, self.model.pitch.bins_per_octave, mask, self.model.rate)
        valid = downsample_mask(mask, self.model.rate)
        assert valid is not None
        return {
            "voice_content": (voice, units, valid),
            "pitch_content": (contour, units, valid),
            "voice_pitch": (voice, contour, valid),
        }


def pitch_contour(content: Content, bins_per_octave: int, mask: Tensor, rate: int) -> Tensor:
    """Pitch at the rate of the codes: how clear it is, and by that its octaves above the median: -> (B, T', 2)."""
    grid = torch.arange(content.pitch.shape[1], device=mask.device) / bins_per_octave
    with torch.autocast(mask.device.type, enabled=False):  # the 8 bits of a bfloat16 are steps of 19 cents
        octaves = torch.einsum("bkt,k->bt", content.pitch, grid) - content.pitch_centre[:, None]
    clear = content.pitch.amax(1) * mask
    return masked_average_pool(torch.stack((clear, clear * octaves), dim=-1), mask, rate)
