"""Frames of a reference: what is looked up, by what, and what is not in them."""

import pytest
import torch

from tests.tiny import small_model
from voiceae.models.timbre import NoTimbre, Timbre, TimbreAttention, TimbreEncoder


def attention() -> TimbreAttention:
    torch.manual_seed(0)
    made = TimbreAttention(channels=16, dim=8, heads=2, head_dim=4)
    torch.nn.init.normal_(made.leave.weight)
    return made


def test_it_is_softmax_attention_with_one_token_that_says_nothing():
    lookup, x, tokens = attention(), torch.randn(1, 5, 16), torch.randn(1, 7, 8)
    torch.nn.init.normal_(lookup.nothing)
    found = []
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        query, key, value = (
            layer(given)[0, :, part]
            for layer, given in ((lookup.query, x), (lookup.key, tokens[..., :4]), (lookup.value, tokens))
        )
        scores = torch.exp(query @ torch.cat((lookup.nothing[0, head], key)).T / 2)
        found.append((scores / scores.sum(1, keepdim=True))[:, 1:] @ value)
    wanted = torch.cat(found, dim=1) @ lookup.leave.weight.T
    torch.testing.assert_close(lookup(x, Timbre(tokens))[0], wanted)


def test_without_tokens_nothing_is_added():
    x = torch.randn(2, 5, 16)
    for timbre in (
        Timbre(torch.zeros(2, 0, 8)),
        Timbre(torch.randn(2, 3, 8), torch.zeros(2, 3, dtype=torch.bool)),
    ):
        torch.testing.assert_close(attention()(x, timbre), torch.zeros(2, 5, 16))


def test_padded_tokens_do_not_count_and_their_order_does_not_matter():
    x, tokens = torch.randn(1, 5, 16), torch.randn(1, 6, 8)
    mask = torch.tensor([[True] * 4 + [False] * 2])
    plain = attention()(x, Timbre(tokens[:, :4]))
    torch.testing.assert_close(attention()(x, Timbre(tokens, mask)), plain)
    torch.testing.assert_close(attention()(x, Timbre(tokens[:, [2, 0, 3, 1]])), plain)


def test_a_new_lookup_leaves_a_trained_decoder_as_it_was():
    fresh = TimbreAttention(channels=16, dim=8)
    assert not fresh(torch.randn(1, 5, 16), Timbre(torch.randn(1, 3, 8))).any()


def test_how_it_sounds_holds_no_pitch():
    """Harmonics that lie otherwise under one envelope change the mel much, and the cepstra of the tokens little."""
    torch.manual_seed(0)
    encoder = TimbreEncoder(n_mels=80, channels=6, dim=8, rate=4)
    bins = torch.arange(80.0)
    envelope = -(((bins - 30) / 25) ** 2)
    ripples = [torch.cos(2 * torch.pi * bins / period)[:, None].expand(80, 8) for period in (2.6, 3.1)]
    first, second = ((envelope[:, None] + ripple)[None] for ripple in ripples)
    features = torch.zeros(1, 6, 2)
    tokens = [encoder(mel, features).tokens for mel in (first, second)]
    wide = encoder(first + torch.cos(2 * torch.pi * bins / 40)[:, None], features).tokens
    assert (tokens[0] - tokens[1]).abs().max() < 0.1 * (tokens[0] - wide).abs().max()


def test_halves_come_from_content_and_spectrum():
    encoder = TimbreEncoder(n_mels=80, channels=6, dim=8, rate=4)
    mel, features = torch.randn(1, 80, 8), torch.randn(1, 6, 2)
    plain, said, heard = (
        encoder(*given).tokens for given in ((mel, features), (mel, -features), (-mel, features))
    )
    assert (plain[..., :4] != said[..., :4]).all() and (plain[..., 4:] == said[..., 4:]).all()
    assert (plain[..., :4] == heard[..., :4]).all() and (plain[..., 4:] != heard[..., 4:]).any()


def test_a_model_converts_with_the_frames_of_its_target():
    torch.manual_seed(0)
    model = small_model(timbre=True).eval()
    mel, target = torch.randn(1, 80, 24), torch.randn(1, 80, 40)
    traits = model.describe(target)
    assert traits.timbre is not None and traits.timbre.tokens.shape == (1, 10, 12)
    content = model.encode(mel)
    alone = model.decode(content, traits.speaker)
    assert (model.decode(content, traits.speaker, timbre=traits.timbre) - alone).abs().max() > 1e-3


def test_off_is_a_module_and_parts_must_fit():
    assert NoTimbre()(torch.randn(2, 80, 8), torch.zeros(2, 0, 8)).tokens.shape == (2, 0, 0)
    with pytest.raises(ValueError, match="dim 4"):
        NoTimbre(dim=4)
    model = small_model(timbre=True)
    with pytest.raises(ValueError, match="looks up tokens of 12"):
        type(model)(
            content=model.content,
            bottleneck=model.bottleneck,
            speaker=model.speaker,
            pitch=model.pitch,
            decoder=model.decoder,
            n_mels=80,
        )
