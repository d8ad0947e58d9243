"""AutoVC's parts: which frames are kept, and what repeats them."""

from typing import Any

import torch

from tests.systems import require_padding_to_change_nothing, small_system, speechlike


def test_a_padded_batch_gives_what_each_gives_alone():
    require_padding_to_change_nothing(small_system("autovc"))


def test_forward_ends_and_backward_beginnings_of_segments_are_kept():
    encoder = small_system("autovc").content.eval()
    heard = torch.arange(2 * 20.0).view(2, 20, 1).expand(-1, -1, 8)
    kept = encoder._select(heard, torch.tensor([20, 11]))
    # Segments of 8: frames 0-7, 8-15, 16-19; the second item ends with frame 10 of its 20, which are 20-39.
    assert kept[0, :, 0].tolist() == [7, 15, 19]
    assert kept[0, :, -1].tolist() == [0, 8, 16]
    assert kept[1, :, 0].tolist() == [27, 30, 0]
    assert kept[1, :, -1].tolist() == [20, 28, 0]


def test_the_encoder_asks_the_speaker_part_and_believes_what_it_is_told():
    model = small_system("autovc").eval()
    mel = speechlike(1, 40)
    voice = model.embed(mel)
    plain = model.normalise(mel)
    torch.testing.assert_close(model.content(plain), model.content(plain, speaker=voice))
    assert (model.content(plain, speaker=-voice) - model.content(plain)).abs().max() > 1e-3
    assert not [name for name, _ in model.content.named_parameters() if "speaker" in name]


def test_a_code_speaks_for_its_own_segment_most():
    """Without recurrence and convolution a code frame would reach exactly its `rate` frames; they blur the edges."""
    decoder = small_system("autovc").decoder.eval()
    voice = torch.nn.functional.normalize(torch.randn(1, 16), dim=-1)
    units = torch.randn(1, 8, 6)
    other = units.clone()
    other[..., 3] += 3
    before, after = (decoder.before_and_after(each, voice, 45)[1] for each in (units, other))
    change = (after - before).abs().mean((0, 1))
    assert change.shape == (45,)
    assert change[24:32].mean() > 5 * change[:16].mean()


def test_refinement_starts_from_the_coarse_mel():
    decoder = small_system("autovc").decoder.eval()
    for weight in decoder.post[-1].parameters():
        torch.nn.init.zeros_(weight)
    coarse, whole = decoder.before_and_after(torch.randn(1, 8, 2), torch.randn(1, 16), 16)
    torch.testing.assert_close(coarse, whole)


def test_without_packing_the_states_are_the_same() -> None:
    """What a GPU does, which must not be asked for lengths, against torch's packed sequences."""
    torch.manual_seed(0)
    encoder: Any = small_system("autovc").content
    mask = torch.arange(16) < torch.tensor([[9], [1], [16], [12]])
    x = torch.randn(4, 16, encoder.recurrent.input_size) * mask[..., None]
    torch.testing.assert_close(encoder._recur_reversed(x, mask), encoder._recur(x, mask))
