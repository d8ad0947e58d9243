"""The stack against its levels called one by one."""

import pytest
import torch

from tests.systems import require_padding_to_change_nothing, small_system, speechlike
from voiceae.models import ContentEncoder, Decoder, DecoderInput, StackedContent, StackedDecoder


def encoder(n_mels: int, channels: int, rate: int) -> ContentEncoder:
    return ContentEncoder(n_mels=n_mels, channels=channels, hidden=8, n_blocks=1, rate=rate)


def decoder(dim: int, n_mels: int, rate: int, pitch_bins: int = 0) -> Decoder:
    sizes = {"channels": 8, "hidden": 8, "n_blocks": 1, "head_dim": 4}
    return Decoder(dim=dim, speaker_dim=4, n_mels=n_mels, rate=rate, pitch_bins=pitch_bins, **sizes)


def test_the_stack_is_its_levels_one_after_another() -> None:
    torch.manual_seed(0)
    mel, speaker = speechlike(2, 19), torch.randn(2, 4)
    content = StackedContent(levels=[encoder(80, 6, 2), encoder(6, 5, 3)]).eval()
    assert (content.rate, content.channels) == (6, 5)
    outer, inner = content.levels
    first = outer(mel)
    assert torch.equal(content(mel), inner(first))
    assert torch.equal(content.encode_to_level(mel, None, 1), first)
    assert torch.equal(content.encode_to_level(mel, None, 0), mel)

    back = StackedDecoder(levels=[decoder(6, 80, 2), decoder(5, 6, 3)]).eval()
    units, nothing = content(mel), mel[:, :0]
    coarse = back.levels[1](DecoderInput(units, speaker, nothing[..., :10], nothing[..., :10]))
    assert coarse.shape == first.shape == (2, 6, 10)
    torch.testing.assert_close(
        back(DecoderInput(units, speaker, nothing, nothing)),
        back.levels[0](DecoderInput(coarse, speaker, nothing, nothing)),
    )


def test_masks_grow_coarser_level_by_level() -> None:
    content = StackedContent(levels=[encoder(80, 6, 2), encoder(6, 5, 3)])
    mask = torch.arange(12) < torch.tensor([[7]])
    assert [each.tolist() for each in content.masks(mask)[1:]] == [
        [[True, True, True, True, False, False]],
        [[True, True]],
    ]
    assert content.masks(None) == [None, None, None]


def test_padding_changes_nothing() -> None:
    require_padding_to_change_nothing(small_system("ae_stacked"))


def test_levels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one gives 6 channels, the next takes 7"):
        StackedContent(levels=[encoder(80, 6, 2), encoder(7, 5, 3)])
    with pytest.raises(ValueError, match="only the first has a place for the pitch"):
        StackedDecoder(levels=[decoder(6, 80, 2), decoder(5, 6, 3, pitch_bins=4)])
    for empty in (StackedContent, StackedDecoder):
        with pytest.raises(ValueError, match="at least one"):
            empty(levels=[])
