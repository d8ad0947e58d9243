"""Any length in, the same length out; padding changes nothing; the voice comes from the reference."""

from dataclasses import replace

import pytest
import torch

from tests.tiny import small_model
from voiceae.models import Autoencoder
from voiceae.nn.layers import lengths_to_mask

LENGTHS = (1, 3, 5, 127, 400)


def speechlike(items: int, frames: int) -> torch.Tensor:
    """Mels with structure in both directions, natural log."""
    generator = torch.Generator().manual_seed(frames)
    bins = torch.linspace(0, 6, 80)[None, :, None]
    time = torch.linspace(0, frames / 9, frames)[None, None]
    phase = 6 * torch.rand((items, 1, 1), generator=generator)
    noise = torch.randn((items, 80, frames), generator=generator)
    return -5 + 2 * torch.sin(bins + time + phase) + torch.cos(3 * bins - time) + 0.3 * noise


@pytest.mark.parametrize("pitch", [True, False])
@pytest.mark.parametrize("bottleneck", ["open", "gaussian", "vq"])
def test_a_padded_batch_gives_what_each_gives_alone(bottleneck, pitch):
    torch.manual_seed(0)
    model = small_model(bottleneck, pitch).eval()
    mask = lengths_to_mask(torch.tensor(LENGTHS), 400)
    mels = speechlike(len(LENGTHS), 400)
    padded = torch.where(mask[:, None], mels, torch.tensor(123.0))  # what lies in the padding must not matter
    octaves = torch.full((len(LENGTHS),), 0.3)
    with torch.inference_mode():
        content, speaker = model.encode(padded, mask), model.embed(padded, mask)
        together = model.decode(content, speaker, octaves=octaves, mask=mask)
        for item, length in enumerate(LENGTHS):
            mel = mels[item : item + 1, :, :length]
            alone = model.encode(mel)
            codes = alone.units.shape[-1]
            assert codes == -(-length // 4)
            torch.testing.assert_close(
                content.units[item : item + 1, :, :codes], alone.units, atol=1e-4, rtol=0
            )
            torch.testing.assert_close(speaker[item : item + 1], model.embed(mel), atol=1e-4, rtol=0)
            decoded = model.decode(alone, model.embed(mel), octaves=octaves[:1])
            assert decoded.shape == mel.shape
            torch.testing.assert_close(together[item : item + 1, :, :length], decoded, atol=1e-4, rtol=0)
            if alone.bottlenecked.codes is not None:
                assert torch.equal(content.bottlenecked.codes[item, :codes], alone.bottlenecked.codes[0])


@pytest.mark.parametrize("frames", [1, 2, 4, 395, 1001])
def test_any_length_comes_back(frames):
    model = small_model().eval()
    mel = speechlike(1, frames)
    with torch.inference_mode():
        converted = model.convert(mel, model.describe(mel))
    assert converted.shape == mel.shape
    assert converted.isfinite().all()


def test_speaker_vectors_have_unit_length():
    model = small_model().eval()
    torch.testing.assert_close(model.embed(speechlike(3, 50)).norm(dim=-1), torch.ones(3))


def test_content_does_not_hear_colour_and_level():
    """A constant added to every frame of a log-mel is a filter and a gain; instance norm takes it out."""
    model = small_model(pitch=False).eval()
    mel = speechlike(1, 60)
    colour = torch.linspace(-2, 2, 80)[None, :, None]
    torch.testing.assert_close(model.encode(mel + colour).units, model.encode(mel).units, atol=1e-3, rtol=0)


def test_statistics_set_the_scale():
    model = small_model().eval()
    model.set_statistics(torch.full((80,), -5.0), torch.full((80,), 2.0))
    torch.testing.assert_close(model.normalise(torch.full((1, 80, 3), -3.0)), torch.ones(1, 80, 3))


def test_traits_are_of_the_reference():
    model = small_model().eval()
    mel = speechlike(2, 40)
    traits = model.describe(mel)
    torch.testing.assert_close(traits.speaker, model.embed(mel))
    torch.testing.assert_close(traits.mel_mean, mel.mean(-1))  # no pauses in these
    assert traits.active_frames.tolist() == [40, 40]


def test_convert_lands_on_the_targets_statistics():
    model = small_model().eval()
    source, target = speechlike(1, 900), speechlike(1, 700) * 1.5 - 2
    traits = model.describe(target)
    plain = model.convert(source, traits, matching=0.0)
    matched = model.convert(source, traits)

    def distance(mel: torch.Tensor) -> float:
        return (mel.mean(-1) - traits.mel_mean).abs().mean().item()

    assert distance(matched) < 0.15 * distance(plain)


def test_a_model_matches_as_far_as_it_was_built_to_unless_told():
    model = small_model().eval()
    mel, traits = speechlike(1, 90), model.describe(speechlike(1, 70) * 1.5 - 2)
    model.matching = 0.0
    torch.testing.assert_close(model.convert(mel, traits), model.convert(mel, traits, matching=0.0))
    assert (model.convert(mel, traits) - model.convert(mel, traits, matching=1.0)).abs().max() > 0.1
    built = {name: getattr(model, name) for name in ("content", "bottleneck", "speaker", "pitch", "decoder")}
    assert Autoencoder(**built, n_mels=80).matching == 1
    with pytest.raises(ValueError, match=r"matching 1\.5"):
        Autoencoder(**built, n_mels=80, matching=1.5)


def test_normalising_comes_back():
    model, mel = small_model().eval(), speechlike(1, 9)
    model.set_statistics(torch.linspace(-6, -3, 80), torch.linspace(1, 2, 80))
    torch.testing.assert_close(model.denormalise(model.normalise(mel)), mel, atol=1e-5, rtol=0)


def test_parts_that_do_not_fit_are_refused():
    good, other = small_model(), small_model(pitch=False)
    with pytest.raises(ValueError, match="pitch bins"):
        Autoencoder(
            content=good.content,
            bottleneck=good.bottleneck,
            speaker=good.speaker,
            pitch=other.pitch,
            decoder=good.decoder,
            n_mels=80,
        )


def test_every_weight_learns():
    model = small_model().train()
    mel = speechlike(4, 64)
    content = model.encode(mel, generator=torch.Generator().manual_seed(0))
    loss = (
        model.decode(content, model.embed(mel.flip(-1))) - mel
    ).square().mean() + content.bottlenecked.losses["kl"]
    loss.backward()
    idle = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert idle == []


def test_convert_moves_the_pitch_to_the_targets_centre(monkeypatch):
    model = small_model().eval()
    mel = speechlike(1, 40)
    asked = []

    def decode(content, speaker, timbre, octaves):
        asked.append((content.pitch_centre + octaves).item())
        return mel

    monkeypatch.setattr(model, "decode", decode)
    target = replace(model.describe(mel), pitch_centre=torch.tensor([1.5]))
    model.convert(mel, target)
    assert asked == [pytest.approx(1.5)]
