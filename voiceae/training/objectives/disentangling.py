"""The default losses, by random perturbation of voices; and gradient reversal against a speaker classifier."""

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
from voiceae.models import Autoencoder, Content, Timbre
from voiceae.models.discriminators import (
    MelDiscriminator,
    NoAdversary,
    feature_matching_loss,
    mel_adversarial_loss,
    mel_discriminator_loss,
)
from voiceae.models.multitarget import CodeClassifier
from voiceae.nn.layers import downsample_mask, scale_gradient
from voiceae.nn.losses import LossWeights, Schedule, contrastive_loss, reconstruction_loss
from voiceae.training.objectives.base import Objective, StepResult


class Disentangling(Objective):
    """Reconstruct a target mel in one perturbed voice, from a source in another and a reference in the target's.

    The content encoder gets the mel with one random perturbation of vocal-tract length and spectral envelope; reference
    and target share another. So the network learns from single recordings to take both from the reference (the idea
    of NANSY, arXiv 2110.14513). Two more ways to a source in another voice: an aligned rendering, where the batch has
    pairs (a true conversion, frame by frame), and a conversion of the target by the model itself, as it is at this
    step, into the voice of another item; then what leaks of that voice through the content is punished by a recording.

    With a discriminator every content is also decoded in the voice of another item, and scored by the discriminator,
    the speaker encoder and the content encoder; without one where `conversion_speaker` has a weight.

    Args:
        model: the autoencoder.
        perturbation: of the voices: draws its parameters, and applies them.
        weights: of the losses: `reconstruction`, `speaker`, `kl` or `commitment` as the bottleneck has it, and with a
            discriminator `adversarial`, `feature_matching`, `conversion_speaker` and `conversion_content`.
        distance: of the reconstruction: l1, l2 or huber.
        perturbed_share: share of the items whose voice is perturbed.
        own_conversion_share: share of the items whose source is the model's own conversion.
        frozen_speaker: whether the speaker encoder stays as it is, as when `experiment=speaker` trained it before.
        timbre_dropout: share of the items that get by without the frames of their reference, so that a decoder that
            looks them up can do with the speaker vector.
        adversary: the discriminator.
    """

    trains_timbre = True

    def __init__(
        self,
        *,
        model: Autoencoder,
        perturbation: VocalTractPerturbation,
        weights: Mapping[str, Any],
        distance: str = "l1",
        perturbed_share: float = 0.75,
        own_conversion_share: float = 0.0,
        frozen_speaker: bool = False,
        timbre_dropout: float = 0.2,
        adversary: MelDiscriminator | NoAdversary | None = None,
    ) -> None:
        super().__init__()
        shares = {"perturbed_share": perturbed_share, "own_conversion_share": own_conversion_share}
        for name, share in {**shares, "timbre_dropout": timbre_dropout}.items():
            if not 0 <= share <= 1:
                raise ConfigError(f"loss.{name} {share}: must lie between 0 and 1")
        self.model, self.weights, self.distance = model, LossWeights(weights), distance
        self.perturbation, self.perturbed_share = perturbation, perturbed_share
        self.own_conversion_share, self.timbre_dropout = own_conversion_share, timbre_dropout
        self.has_unused_parameters = frozen_speaker
        self.frozen_speaker = frozen_speaker
        self.adversary = adversary or NoAdversary()
        # Log of the inverse temperature; CLIP (arXiv 2103.00020) begins at log(1 / 0.07) = 2.66.
        self.log_scale = nn.Parameter(torch.tensor(2.7))

    @classmethod
    def configured(cls, model: Any, store: FeatureStore, options: Mapping[str, Any]) -> Self:
        """With the perturbation in the store's mel contract; see `Objective.configured`."""
        perturbation = VocalTractPerturbation(store.spec, **options["perturbation"])
        adversary = modelfile.build(options.get("adversary"))
        return cls(model=model, **{**options, "perturbation": perturbation, "adversary": adversary})

    def forward(self, batch: Batch, step: int, generator: torch.Generator) -> StepResult:
        """All losses of one batch.

        Args:
            batch: crops and references.
            step: for the schedules of the weights.
            generator: of every draw; on the batch's device.
        """
        model, mask = self.model, batch.mask
        target, reference, source = self._perturb_voices(batch, generator)
        content = model.with_pitch_of(model.encode(source, mask, generator=generator), target, mask)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen_speaker):
            speaker = model.embed(reference, batch.reference_mask)
        timbre = self._drop_out(model.timbre_of(reference, batch.reference_mask), generator)
        output = model.decode(content, speaker, timbre=timbre, mask=mask)
        losses = {
            "reconstruction": reconstruction_loss(output, target, mask, self.distance),
            **content.bottlenecked.losses,
            **self.extra_losses(batch, content, step),
        }
        if "speaker" in self.weights:
            own = model.embed(target, mask)
            losses["speaker"] = contrastive_loss(speaker, own, self.log_scale.exp(), batch.speaker)
        mels = {"source": source, "target": target, "output": output}
        if self.adversary.active or "conversion_speaker" in self.weights:
            mels["converted"], scores = self._convert(batch, content, speaker, timbre)
            losses |= scores
        if self.adversary.active:
            # The model's side of the least-squares GAN, and feature matching.
            voice, normalise, discriminator = speaker.detach(), model.normalise, self.adversary
            real, made = (discriminator(normalise(mels[name]), voice, mask) for name in ("target", "output"))
            converted = discriminator(normalise(mels["converted"]), voice[batch.other_speaker], mask)
            adversarial = 0.5 * (mel_adversarial_loss(made) + mel_adversarial_loss(converted))
            matching = feature_matching_loss(real, made)
            losses |= {"adversarial": adversarial, "feature_matching": matching}
        return self.result(losses, step, stats=content.bottlenecked.stats, mels=mels, speaker=speaker)

    def extra_losses(self, batch: Batch, content: Content, step: int) -> dict[str, Tensor]:
        """Further losses by name, of an objective built on this one."""
        return {}

    def adversary_loss(self, batch: Batch, result: StepResult) -> Tensor:
        """The discriminator's least-squares loss, on the mels that the model has just made."""
        assert isinstance(self.adversary, MelDiscriminator) and result.speaker is not None
        scores = {
            name: self.adversary(self.model.normalise(result.mels[name]), speaker, batch.mask)
            for name, speaker in (
                ("target", result.speaker),
                ("output", result.speaker),
                ("converted", result.speaker[batch.other_speaker]),
            )
        }
        return mel_discriminator_loss(scores["target"], [scores["output"], scores["converted"]])

    def _convert(
        self, batch: Batch, content: Content, speaker: Tensor, timbre: Timbre
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Decode every content in the voice of another speaker's item, encode that again: consistency losses."""
        mask, others = batch.mask, batch.other_speaker
        other = speaker[others].detach()
        octaves = content.pitch_centre[others] - content.pitch_centre
        converted = self.model.decode(content, other, timbre=timbre[others], octaves=octaves, mask=mask)
        normalised = self.model.normalise(converted)
        voice = _call_frozen(self.model.speaker, normalised, mask)
        features = _call_frozen(self.model.content, normalised, mask)
        coarse = downsample_mask(mask, self.model.rate)
        return converted, {
            "conversion_speaker": contrastive_loss(
                voice, other, self.log_scale.exp().detach(), batch.speaker[others]
            ),
            "conversion_content": reconstruction_loss(features, content.features.detach(), coarse, "l2"),
        }

    def _perturb_voices(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Target and reference in one perturbed voice, source in another: (B, M, T), (B, M, R), (B, M, T)."""
        items = len(batch.mel)
        if not self.training:
            return batch.mel, batch.reference, batch.mel if batch.source is None else batch.source
        voice, other = (
            self.perturbation.draw(items, generator, share=self.perturbed_share) for _ in range(2)
        )
        return (
            self.perturbation(batch.mel, voice),
            self.perturbation(batch.reference, voice),
            self.perturbation(self._convert_some(batch, generator), other),
        )

    def _convert_some(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The sources, some of them said by the model in the voices of other items: -> (B, M, T)."""
        sources = batch.mel if batch.source is None else batch.source
        count = round(self.own_conversion_share * len(sources))
        if not count:
            return sources
        drawn = torch.randperm(len(sources), generator=generator, device=generator.device)[:count]
        voices = batch.other_speaker[drawn]
        modes = {module: module.training for module in self.model.modules()}
        self.model.eval()  # as in use: no noise in the bottleneck
        with torch.no_grad():
            wanted = self.model.describe(batch.reference[voices], batch.reference_mask[voices])
            converted = self.model.convert(sources[drawn], wanted)
        for module, training in modes.items():
            module.training = training
        return sources.index_copy(0, drawn, converted.to(sources.dtype))

    def _drop_out(self, timbre: Timbre, generator: torch.Generator) -> Timbre:
        """Without the tokens of some items, in training."""
        if not self.training or not timbre.tokens.shape[1]:
            return timbre
        kept = (
            torch.rand(len(timbre.tokens), generator=generator, device=generator.device)
            >= self.timbre_dropout
        )
        mask = (
            torch.ones_like(timbre.tokens[..., 0], dtype=torch.bool) if timbre.mask is None else timbre.mask
        )
        return Timbre(timbre.tokens, mask & kept[:, None])


def _call_frozen(module: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
    """Apply a module with its weights frozen: the gradient goes to `x` alone."""
    weights = {name: weight.detach() for name, weight in module.named_parameters()}
    scores: Tensor = torch.func.functional_call(module, weights, (x, mask))
    return scores


class GradientReversal(Disentangling):
    """A gradient-reversal layer between content and a speaker classifier (Ganin and Lempitsky 2015, arXiv 1409.7495).

    One update trains both: the classifier to tell the training speakers apart, the encoder, through the reversed
    gradient, to leave nothing to tell them by. The loss, `speaker_classification`, is the classifier's, in nats;
    guessing would give the logarithm of the number of speakers. It has no part in validation, on other speakers.

    Args:
        model: the autoencoder.
        n_speakers: of the training.
        reversal_strength: a number, or a schedule as of a weight, to let the classifier learn first.
        channels: of the classifier.
        options: as of `Disentangling`, with a weight of `speaker_classification`.

    Raises:
        ConfigError: for a schedule that makes no sense.
    """

    def __init__(
        self,
        *,
        model: Autoencoder,
        n_speakers: int,
        reversal_strength: float | Mapping[str, Any] = 1.0,
        channels: int = 128,
        **options: Any,
    ) -> None:
        super().__init__(model=model, **options)
        try:
            self.reversal_strength = (
                Schedule(**reversal_strength)
                if isinstance(reversal_strength, Mapping)
                else Schedule(reversal_strength)
            )
        except (TypeError, ValueError) as error:
            raise ConfigError(f"loss.reversal_strength: {error}") from error
        self.classifier = CodeClassifier(dim=model.bottleneck.dim, n_speakers=n_speakers, channels=channels)

    @classmethod
    def configured(cls, model: Any, store: FeatureStore, options: Mapping[str, Any]) -> Self:
        """The objective of a config, see `Objective.configured`."""
        return super().configured(model, store, {"n_speakers": len(store.speakers), **options})

    def extra_losses(self, batch: Batch, content: Content, step: int) -> dict[str, Tensor]:
        """The classifier's cross-entropy, its gradient reversed on the way back to the encoder."""
        if not self.training:
            return {}
        units = scale_gradient(content.units, -self.reversal_strength(step))
        logits = self.classifier(units, downsample_mask(batch.mask, self.model.rate))
        return {"speaker_classification": functional.cross_entropy(logits, batch.speaker)}
