"""A variational autoencoder whose two terms may be trained together, in turns or one after the other."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from voiceae.data.crops import Batch
from voiceae.errors import ConfigError
from voiceae.models import Autoencoder, Content, GaussianBottleneck
from voiceae.nn.layers import scale_gradient
from voiceae.nn.losses import reconstruction_loss
from voiceae.training.objectives.base import StepResult
from voiceae.training.objectives.reconstruction import Reconstruction

ORDERS = ("together", "tandem", "sequential")


class Variational(Reconstruction):
    """The evidence lower bound of Kingma and Welling 2014 (arXiv 1312.6114), whole or taken apart.

    The KL term trains the encoder alone in any case; the reconstruction trains the decoder, and the encoder as far as
    the two are coupled. Uncoupled, the encoder only knows how much it may say, its free bits, and the decoder makes of
    that what it can, as the second decoder of Li et al. 2022 (arXiv 2209.14783) does. Stats, in nats per code frame:
    `log_likelihood`, of the mel given the code under a Gaussian of the deviation that fits the batch best (Rybkin et
    al. 2021, arXiv 2006.13202), and `elbo`, that less the KL.

    Args:
        model: with a `GaussianBottleneck` bottleneck.
        coupling: share of the reconstruction's gradient that reaches the encoder: 1 is the VAE, 0 takes it apart.
        order: of the two terms: "together" in every step, in "tandem" one step each, or "sequential": the KL for so
            many `steps` and from then on the reconstruction.
        steps: of the KL term, where the order is sequential.
        options: as of `Reconstruction`.

    Raises:
        ValueError: for another bottleneck.
        ConfigError: for an unknown order, or a coupling outside 0 to 1.
    """

    has_unused_parameters = True

    def __init__(
        self,
        *,
        model: Autoencoder,
        coupling: float = 1.0,
        order: str = "together",
        steps: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(model=model, **options)
        if not isinstance(model.bottleneck, GaussianBottleneck):
            raise ValueError(
                f"Variational needs model/bottleneck=gaussian, not a {type(model.bottleneck).__name__}"
            )
        if order not in ORDERS:
            raise ConfigError(f"loss.order={order}: is not one of {', '.join(ORDERS)}")
        if not 0 <= coupling <= 1:
            raise ConfigError(f"loss.coupling={coupling}: must lie between 0 and 1")
        self.coupling, self.order, self.steps = coupling, order, steps

    def terms(self, step: int) -> tuple[bool, bool]:
        """Whether the KL and whether the reconstruction is minimised at a step; both in validation."""
        if self.order == "together" or not self.training:
            return True, True
        first = step % 2 == 0 if self.order == "tandem" else step < self.steps
        return first, not first

    def forward(self, batch: Batch, step: int, generator: torch.Generator) -> StepResult:
        """The terms of one batch whose turn it is; see `Objective.forward`."""
        model, mask = self.model, batch.mask
        kl, reconstruction = self.terms(step)
        with torch.set_grad_enabled(torch.is_grad_enabled() and (kl or self.coupling > 0)):
            content = model.encode(batch.mel, mask, generator=generator)
        losses = dict(content.bottlenecked.losses) if kl else {}
        stats, mels = dict(content.bottlenecked.stats), {"source": batch.mel, "target": batch.mel}
        if reconstruction:
            speaker = self.speaker_embedding(batch)
            output = model.decode(self.coupled(content), speaker, mask=mask)
            losses["reconstruction"] = reconstruction_loss(output, batch.mel, mask, self.distance)
            stats |= self.likelihood(output, batch, stats["kl_raw"])
            mels["output"] = output
        return self.result(losses, step, stats=stats, mels=mels)

    def coupled(self, content: Content) -> Content:
        """The same content, through whose units only a share of the gradient comes back."""
        units = scale_gradient(content.units, self.coupling)
        return replace(content, bottlenecked=replace(content.bottlenecked, units=units))

    @torch.no_grad()
    def likelihood(self, output: Tensor, batch: Batch, kl: Tensor) -> dict[str, Tensor]:
        """Nats per code frame: given (B, M, T), KL () -> scalars by name."""
        variance = reconstruction_loss(output, batch.mel, batch.mask, "l2").clamp_min(1e-12)
        values = self.model.rate * batch.mel.shape[1]
        log_likelihood = -0.5 * values * (math.log(2 * math.pi) + variance.log() + 1)
        return {"log_likelihood": log_likelihood, "elbo": log_likelihood - kl}
