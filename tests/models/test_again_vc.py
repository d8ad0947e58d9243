"""AGAIN-VC's parts: what the norms leave and what they take out."""

import pytest
import torch

from tests.systems import require_padding_to_change_nothing, small_system, speechlike
from voiceae.models import (
    AgainVCEncoder,
    Autoencoder,
    InstanceStatisticsSpeaker,
    LinearBottleneck,
    SigmoidBottleneck,
)
from voiceae.models.again_vc import from_homogeneous, to_homogeneous


def test_a_padded_batch_gives_what_each_gives_alone():
    require_padding_to_change_nothing(small_system("again_vc"), atol=1e-3)


def test_what_is_left_and_what_is_taken_out_make_the_whole():
    """The last norm's input comes back from its output and the last moments."""
    model = small_system("again_vc").eval()
    encoder, mel = model.content, speechlike(2, 40)
    left, taken = encoder.encode_with_statistics(mel)
    assert [tuple(mean.shape) for mean, _ in taken] == [(2, 1, 16)] * 2
    torch.testing.assert_close(left.mean(-1), torch.zeros(2, 16), atol=1e-5, rtol=0)
    x = encoder.blocks[0](encoder.enter(mel.transpose(1, 2)))
    mean, deviation = taken[0]
    torch.testing.assert_close(mean[:, 0], x.mean(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(deviation[:, 0], x.std(1, correction=0), atol=1e-3, rtol=0)
    whole = encoder.blocks[1]((x - mean) / deviation)
    mean, deviation = taken[1]
    torch.testing.assert_close(left.transpose(1, 2) * deviation + mean, whole, atol=1e-4, rtol=0)


def test_unit_vectors_hold_any_vector():
    vector = torch.randn(5, 33) * torch.tensor([1e-3, 0.1, 1, 10, 100])[:, None]
    unit = to_homogeneous(vector)
    torch.testing.assert_close(unit.norm(dim=-1), torch.ones(5))
    torch.testing.assert_close(from_homogeneous(unit), vector, rtol=1e-3, atol=1e-5)


def test_the_decoder_is_given_what_the_encoder_took_out_the_innermost_first():
    model = small_system("again_vc").eval()
    mel = speechlike(1, 40)
    given = model.decoder.moments(model.embed(mel))
    _, taken = model.content.encode_with_statistics(mel)
    for (mean, deviation), (wanted_mean, wanted_deviation) in zip(given[:-1], taken, strict=True):
        torch.testing.assert_close(mean, wanted_mean, atol=1e-4, rtol=0)
        torch.testing.assert_close(deviation, wanted_deviation, atol=1e-4, rtol=0)
    units = model.encode(mel).units
    torch.testing.assert_close(given[-1][0][0, 0], units[0].mean(-1), atol=1e-4, rtol=0)
    used = []
    for number, block in enumerate(list(model.decoder.blocks)[1:], start=1):
        block.register_forward_pre_hook(lambda _, inputs, number=number: used.append((number, inputs[0])))
    model.decode(model.encode(mel), model.embed(mel))
    for (
        number,
        x,
    ) in used:  # what enters block n left the norm that was given the moments of encoder block n from the end
        torch.testing.assert_close(x.mean(1), taken[-number][0][:, 0], atol=1e-3, rtol=0)


def test_guidance_keeps_units_between_0_and_1_and_flat():
    squash = SigmoidBottleneck(channels=4, dim=4, alpha=0.1)
    torch.nn.init.eye_(squash.project.weight)
    torch.nn.init.zeros_(squash.project.bias)
    x = torch.tensor([-100.0, -1.0, 0.0, 10.0]).view(1, 4, 1)
    units = squash(x).units.flatten()
    wanted = [1 / (1 + 2.718281828 ** (10)), 0.4750208, 0.5, 0.7310586]
    torch.testing.assert_close(units, torch.tensor(wanted), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="alpha -1"):
        SigmoidBottleneck(channels=4, dim=4, alpha=-1)


def test_one_encoder_counts_once():
    model = small_system("again_vc")
    assert list(model.speaker.parameters()) == []
    assert len(model.state_dict()) == len({value.data_ptr() for value in model.state_dict().values()})


def test_parts_that_do_not_belong_together_are_refused():
    good = small_system("again_vc")
    rest = {"pitch": good.pitch, "decoder": good.decoder, "n_mels": 80}
    with pytest.raises(
        ValueError,
        match="InstanceStatisticsSpeaker needs an AgainVCEncoder for content, not a ContentEncoder",
    ):
        good.speaker.join(small_system("adain_vc").content, good.bottleneck)
    narrow = AgainVCEncoder(n_mels=80, channels=8, hidden=8, n_blocks=2)
    speaker = InstanceStatisticsSpeaker(channels=16, n_blocks=2, units=4)
    with pytest.raises(
        ValueError, match="InstanceStatisticsSpeaker of 73 numbers, encoder and bottleneck give 41"
    ):
        Autoencoder(content=narrow, bottleneck=LinearBottleneck(channels=8, dim=4), speaker=speaker, **rest)
