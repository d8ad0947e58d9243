"""What a step asks for: losses that mean what they are called, and gradients that go where they should."""

import dataclasses
from dataclasses import replace

import pytest
import torch

from tests.tiny import small_model
from voiceae.data.crops import Batch
from voiceae.dsp.vocal_tract import VocalTractPerturbation
from voiceae.errors import ConfigError
from voiceae.models.discriminators import MelDiscriminator
from voiceae.nn.losses import reconstruction_loss
from voiceae.specs import AudioSpec
from voiceae.training.objectives.disentangling import Disentangling

PLAIN = {"reconstruction": 1.0, "kl": 0.01, "speaker": 0.1, "commitment": 0.25}
ADVERSARIAL = PLAIN | {
    "adversarial": 0.1,
    "feature_matching": 0.1,
    "conversion_speaker": 0.1,
    "conversion_content": 0.1,
}


def batch(items: int = 4, frames: int = 32) -> Batch:
    generator = torch.Generator().manual_seed(0)
    mask = torch.ones(items, frames, dtype=torch.bool)
    mask[0, 20:] = False
    return Batch(
        mel=torch.randn((items, 80, frames), generator=generator),
        mask=mask,
        reference=torch.randn((items, 80, frames), generator=generator),
        reference_mask=mask,
        speaker=torch.arange(items),
        index=torch.arange(items),
    )


def objective(
    adversarial: bool = False, bottleneck: str = "gaussian", timbre: bool = False, **options: object
) -> Disentangling:
    torch.manual_seed(0)
    return Disentangling(
        model=small_model(bottleneck, timbre=timbre),
        perturbation=VocalTractPerturbation(AudioSpec()),
        weights=ADVERSARIAL if adversarial else PLAIN,
        adversary=MelDiscriminator(n_mels=80, speaker_dim=16, channels=8) if adversarial else None,
        **options,
    )


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_total_is_the_sum_and_the_raw_kl_stands_beside_the_weighted():
    result = objective()(batch(), 0, generator())
    torch.testing.assert_close(result.total.detach(), sum(result.losses.values()))
    torch.testing.assert_close(result.losses["kl"], 0.01 * result.stats["kl_raw"])


def test_a_step_is_a_function_of_its_generator():
    asked = objective()
    one, same = asked(batch(), 0, generator()), asked(batch(), 0, generator())
    assert torch.equal(one.total, same.total)
    assert not torch.equal(one.total, asked(batch(), 0, torch.Generator().manual_seed(4)).total)


def test_evaluation_changes_no_voice():
    asked = objective().eval()
    given = batch()
    result = asked(given, 0, generator())
    assert torch.equal(result.mels["target"], given.mel) and torch.equal(result.mels["source"], given.mel)
    wanted = reconstruction_loss(result.mels["output"], given.mel, given.mask)
    torch.testing.assert_close(result.losses["reconstruction"], wanted)


def test_reference_and_wanted_share_a_voice_and_heard_has_another(monkeypatch):
    """With the very crop as its reference, what the speaker encoder is given tells which voice it was put into."""
    asked = objective(perturbed_share=1.0)
    given = batch()
    given = dataclasses.replace(given, reference=given.mel, reference_mask=given.mask)
    embedded, embed = [], asked.model.embed
    monkeypatch.setattr(asked.model, "embed", lambda mel, mask: embedded.append(mel) or embed(mel, mask))
    mels = asked(given, 0, generator()).mels
    reference, compared = embedded
    assert torch.equal(reference, mels["target"]) and torch.equal(compared, mels["target"])
    for one, other in (("target", "source"), ("target", "mel"), ("source", "mel")):
        first, second = ({**mels, "mel": given.mel}[name] for name in (one, other))
        distance = (first - second).abs().mean((1, 2))
        assert distance.min() > 0.1, f"{one} and {other} are one voice"


def test_the_content_is_heard_in_the_other_voice_and_its_pitch_in_the_wanted(monkeypatch):
    asked = objective(perturbed_share=1.0)
    heard, encode = [], asked.model.encode
    monkeypatch.setattr(
        asked.model, "encode", lambda mel, *rest, **more: heard.append(mel) or encode(mel, *rest, **more)
    )
    pitched, read = [], asked.model.pitch.forward
    monkeypatch.setattr(
        asked.model.pitch, "forward", lambda mel, mask: pitched.append(mel) or read(mel, mask)
    )
    mels = asked(batch(), 0, generator()).mels
    assert torch.equal(heard[0], mels["source"]) and torch.equal(pitched[-1], mels["target"])


@pytest.mark.parametrize("bottleneck", ["open", "gaussian", "vq"])
def test_every_bottleneck_trains(bottleneck):
    """Ten steps on one batch lower its reconstruction loss."""
    asked = objective(bottleneck=bottleneck, perturbed_share=0.0)
    optimizer = torch.optim.Adam(asked.parameters(), 3e-3)
    course = []
    for _ in range(10):
        result = asked(batch(), 0, generator())
        optimizer.zero_grad()
        result.total.backward()
        optimizer.step()
        course.append(result.stats["reconstruction_raw"].item())
    assert course[-1] < 0.97 * course[0]


def test_the_other_voice_is_of_another_speaker(monkeypatch: pytest.MonkeyPatch):
    """Also where items of one speaker stand side by side."""
    asked, given = objective(adversarial=True), replace(batch(5), speaker=torch.tensor([0, 0, 0, 1, 1]))
    decode, voices = asked.model.decode, []
    monkeypatch.setattr(
        asked.model,
        "decode",
        lambda content, voice, **rest: voices.append(voice) or decode(content, voice, **rest),
    )
    result = asked(given, 0, generator())
    own, other = voices
    for item, voice in enumerate(other):
        said_by = int((own - voice).norm(dim=-1).argmin())
        assert given.speaker[said_by] != given.speaker[item], (item, said_by)
    heard = []
    discriminator = asked.adversary.forward
    monkeypatch.setattr(
        asked.adversary,
        "forward",
        lambda mel, voice, mask: heard.append(voice) or discriminator(mel, voice, mask),
    )
    asked.adversary_loss(given, result)
    assert torch.equal(heard[-1], other)  # and the discriminator is told the same


def test_examples_are_converted_to_another_speaker(monkeypatch: pytest.MonkeyPatch):
    asked, given = objective().eval(), replace(batch(), speaker=torch.tensor([0, 0, 1, 1]))
    convert, wanted = asked.model.convert, []
    monkeypatch.setattr(
        asked.model, "convert", lambda mel, target: wanted.append(target) or convert(mel, target)
    )
    asked.examples(given, 2)
    voices = asked.model.embed(given.reference, given.reference_mask)
    for voice in wanted[0].speaker:
        assert int((voices - voice).norm(dim=-1).argmin()) in (2, 3)


def test_items_of_one_speaker_are_no_negatives_of_each_other():
    alone = replace(batch(), speaker=torch.zeros(4, dtype=torch.long))
    assert (
        float(objective()(alone, 0, generator()).stats["speaker_raw"]) == 0.0
    )  # there is nobody to be told from
    pairs = replace(batch(), speaker=torch.tensor([0, 0, 1, 1]))
    told, all_told = (
        float(objective()(each, 0, generator()).stats["speaker_raw"]) for each in (pairs, batch())
    )
    assert 0 < told < all_told


def test_judges_do_not_learn_from_conversions():
    asked = objective(adversarial=True, perturbed_share=0.0)
    model, given = asked.model, batch()
    content = model.encode(given.mel, given.mask, generator=generator())
    speaker, timbre = model.embed(given.reference).detach(), model.timbre_of(given.reference)
    _, losses = asked._convert(given, content, speaker, timbre)
    for judge in (model.speaker, model.content):
        judge.zero_grad()
    losses["conversion_speaker"].backward(retain_graph=True)
    assert all(weight.grad is None for weight in model.speaker.parameters())
    assert any(weight.grad is not None and weight.grad.any() for weight in model.decoder.parameters())


def test_discriminator_learns_and_the_model_does_not_in_its_turn():
    asked = objective(adversarial=True)
    given = batch()
    result = asked(given, 0, generator())
    asked.zero_grad()
    asked.adversary_loss(given, result).backward()
    assert all(weight.grad is None for weight in asked.model.parameters())
    assert all(weight.grad is not None for weight in asked.adversary.parameters())
    assert set(result.losses) == set(ADVERSARIAL) - {"commitment"}


def test_a_loss_without_a_weight_fails():
    asked = objective()
    del asked.weights.schedules["kl"]
    with pytest.raises(ConfigError, match="no weight for kl"):
        asked(batch(), 0, generator())


def test_share_out_of_range_is_refused():
    with pytest.raises(ConfigError, match=r"loss\.perturbed_share"):
        objective(perturbed_share=1.5)


def test_some_sources_are_what_the_model_makes_of_them_in_the_voice_of_another_item():
    asked = objective(timbre=True, perturbed_share=0.0, own_conversion_share=0.5)
    given = batch()
    given = replace(given, mask=torch.ones_like(given.mask), reference_mask=torch.ones_like(given.mask))
    result = asked(given, 0, generator())
    changed = (result.mels["source"] - given.mel).abs().amax((1, 2)) > 1e-2
    assert changed.sum() == 2
    torch.testing.assert_close(result.mels["target"], given.mel, atol=1e-4, rtol=0)
    model = asked.model.eval()
    others = given.other_speaker[changed]
    wanted = model.convert(given.mel[changed], model.describe(given.reference[others]))
    torch.testing.assert_close(result.mels["source"][changed], wanted, atol=1e-3, rtol=0)
    assert asked(given, 0, generator()) and all(not part.training for part in model.modules())


def test_own_conversions_leave_the_modes_as_they_were_and_no_gradient():
    asked = objective(own_conversion_share=1.0)
    asked.model.speaker.eval()
    result = asked(batch(), 0, generator())
    assert asked.model.content.training and not asked.model.speaker.training
    assert not result.mels["source"].requires_grad


def test_a_frozen_speaker_encoder_gets_no_gradient_and_the_rest_does():
    asked = objective(frozen_speaker=True, timbre=True)
    asked.weights.schedules["speaker"].value = 0.0
    asked(batch(), 0, generator()).total.backward()
    assert all(weight.grad is None for weight in asked.model.speaker.parameters())
    for part in (asked.model.content, asked.model.decoder, asked.model.timbre):
        assert all(weight.grad is not None and weight.grad.any() for weight in part.parameters()), part
    assert asked.has_unused_parameters


def test_the_decoder_gets_the_frames_of_the_reference_but_for_a_share_of_the_items():
    given = batch()
    other = replace(given, reference=given.reference.flip(0))
    never, always = (
        objective(timbre=True, perturbed_share=0.0, timbre_dropout=share, frozen_speaker=True)
        for share in (1.0, 0.0)
    )
    for asked in (
        never,
        always,
    ):  # the vectors of both references alike, so that only the frames tell them apart
        torch.nn.init.zeros_(asked.model.speaker.leave.weight)
    first, second = (never(each, 0, generator()).mels["output"] for each in (given, other))
    torch.testing.assert_close(first, second)
    first, second = (always(each, 0, generator()).mels["output"] for each in (given, other))
    assert (first - second).abs().max() > 1e-3


def test_conversions_are_judged_without_a_discriminator_where_that_has_a_weight():
    asked = objective()
    assert "converted" not in asked(batch(), 0, generator()).mels
    weights = {**PLAIN, "conversion_speaker": 0.1, "conversion_content": 0.1}
    judged = Disentangling(
        model=small_model(), perturbation=VocalTractPerturbation(AudioSpec()), weights=weights
    )
    assert judged(batch(), 0, generator()).losses["conversion_speaker"] > 0


def test_of_an_aligned_pair_the_content_is_heard_from_the_other_rendering():
    asked = objective(perturbed_share=0.0)
    given = batch()
    renderings = torch.randn(given.mel.shape, generator=torch.Generator().manual_seed(5))
    result = asked(replace(given, source=renderings), 0, generator())
    torch.testing.assert_close(result.mels["source"], renderings, atol=1e-4, rtol=0)
    torch.testing.assert_close(result.mels["target"], given.mel, atol=1e-4, rtol=0)
    model = asked.model.eval()
    heard = asked.eval()(replace(given, source=renderings), 0, generator()).mels["output"]
    content = model.with_pitch_of(model.encode(renderings, given.mask), given.mel, given.mask)
    speaker = model.embed(given.reference, given.reference_mask)
    torch.testing.assert_close(heard, model.decode(content, speaker, mask=given.mask), atol=1e-4, rtol=0)
