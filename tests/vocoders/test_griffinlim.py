"""Griffin-Lim from mel to wave, on real speech and on signals whose place or level is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from voiceae.dsp.mel import LogMel
from voiceae.specs import AudioSpec
from voiceae.vocoders.griffinlim import GriffinLim

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def vocoder(spec: AudioSpec) -> GriffinLim:
    return GriffinLim(spec)


def test_copies_speech(vocoder: GriffinLim, mels: list[Tensor], to_mel: LogMel) -> None:
    distances = [float((to_mel(vocoder(mel[None])[0]) - mel).abs().mean()) for mel in mels]
    assert max(distances) < 0.16
    first_guess = GriffinLim(vocoder.spec, n_iter=0)
    assert float((to_mel(first_guess(mels[0][None])[0]) - mels[0]).abs().mean()) > 2 * distances[0]


@pytest.mark.parametrize("place", [5000, 20000, 20128, 20255, 61234])
def test_a_click_comes_out_where_it_went_in(vocoder: GriffinLim, to_mel: LogMel, place: int) -> None:
    wav = 1e-4 * torch.randn(66048, generator=torch.Generator().manual_seed(place))
    wav[place] += 0.9
    out = vocoder(to_mel(wav)[None])[0]
    assert abs(int(out.abs().argmax()) - place) <= 2


def test_silence_stays_near_silence(vocoder: GriffinLim, to_mel: LogMel) -> None:
    out = vocoder(to_mel(torch.zeros(22050))[None])
    assert float(out.abs().max()) < 1e-3
    assert float(out.square().mean().sqrt()) < 1e-4


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 289])
def test_length_is_frames_times_hop(vocoder: GriffinLim, frames: int) -> None:
    mel = torch.randn(1, 80, frames, generator=torch.Generator().manual_seed(0)) - 5
    out = vocoder(mel)
    assert out.shape == (1, frames * 256)
    assert bool(out.isfinite().all())
    assert float(out.abs().max()) > 0


def test_batch_gives_what_each_gives_alone(vocoder: GriffinLim, mels: list[Tensor]) -> None:
    shortest = min(mel.shape[1] for mel in mels)
    mels = [mel[:, :shortest] for mel in mels]
    together = vocoder(torch.stack(mels))
    for row, mel in zip(together, mels, strict=True):
        alone = vocoder(mel[None])[0]
        assert float((row - alone).norm()) < 1e-3 * float(alone.norm())


@pytest.mark.parametrize("part", [5, 100, 700])
def test_pieces_give_what_the_whole_gives(vocoder: GriffinLim, to_mel: LogMel, part: int) -> None:
    """With a click beside where the inner pieces of 288 frames meet: its place is told by frames on both sides."""
    wav = 1e-4 * torch.randn(150_000, generator=torch.Generator().manual_seed(part))
    wav[[288 * 256 - 90, 100_000]] += 0.9
    mel = to_mel(wav)[None]
    blocks = [block.clone() for block in vocoder.blocks(mel.split(part, dim=2), mel.shape[2])]
    assert len(blocks) > 50
    torch.testing.assert_close(torch.cat(blocks, dim=1), vocoder(mel), atol=1e-6, rtol=1e-6)


def test_chance_is_the_seed(spec: AudioSpec, mels: list[Tensor]) -> None:
    mel = mels[0][None, :, :40]
    state = torch.random.get_rng_state()
    first, again, other = (GriffinLim(spec, seed=seed)(mel) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)
    assert torch.equal(state, torch.random.get_rng_state())


def test_ends_are_not_louder_than_the_rest(vocoder: GriffinLim, to_mel: LogMel) -> None:
    """The envelope of the windows falls to zero at the ends; dividing by it must not raise them."""
    wav = 0.1 * torch.randn(22016, generator=torch.Generator().manual_seed(3))
    out = vocoder(to_mel(wav)[None])[0]
    middle = float(out[2000:-2000].square().mean().sqrt())
    assert float(out[:256].square().mean().sqrt()) == pytest.approx(middle, rel=0.35)
    assert float(out[-256:].square().mean().sqrt()) == pytest.approx(middle, rel=0.35)


def test_a_wrong_shape_is_named(vocoder: GriffinLim) -> None:
    with pytest.raises(ValueError, match=r"\(80, 12\); expected \(B, 80, T >= 1\)"):
        vocoder(torch.zeros(80, 12))
