"""Changes of voice on a mel, against changes of the wave itself."""

import librosa
import numpy as np
import pytest
import torch

from voiceae.dsp.mel import LogMel
from voiceae.dsp.vocal_tract import VocalTractPerturbation, VocalTractSettings
from voiceae.specs import AudioSpec

SPEC = AudioSpec()


def change(octaves: float, gain: float = 0.0) -> VocalTractSettings:
    return VocalTractSettings(torch.tensor([octaves]), torch.full((1, SPEC.n_mels), gain))


def test_no_change_changes_nothing():
    mel = torch.randn(1, 80, 9)
    torch.testing.assert_close(VocalTractPerturbation(SPEC)(mel, change(0.0)), mel, atol=1e-4, rtol=0)


def test_gain_is_added():
    mel = torch.randn(1, 80, 9)
    torch.testing.assert_close(
        VocalTractPerturbation(SPEC)(mel, change(0.0, 0.5)), mel + 0.5, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("octaves", [-0.25, 0.25])
def test_a_warped_mel_is_that_of_a_recording_played_faster(octaves):
    """A steady buzz with formants, played 2^octaves times as fast: every frequency moves by that much."""
    time = np.arange(2 * SPEC.sample_rate) / SPEC.sample_rate

    def buzz(speed: float) -> torch.Tensor:
        harmonics = np.arange(1, 28)[:, None] * 150.0
        formants = sum(np.exp(-(((harmonics - f) / 200.0) ** 2)) for f in (700, 1400, 2600))
        wave = (formants * np.sin(2 * np.pi * harmonics * speed * time)).sum(0) * 0.05
        return LogMel(SPEC)(torch.from_numpy(wave).float())[None]

    plain, faster = buzz(1.0), buzz(2**octaves)
    warped = VocalTractPerturbation(SPEC)(plain, change(octaves))
    middle = slice(8, 60)  # where the buzz has energy

    def distance(mel: torch.Tensor) -> float:
        return (mel - faster)[0, middle, 20:-20].abs().mean().item()

    assert distance(warped) < 0.45 * distance(plain)


def test_bins_lie_where_librosa_has_them_and_never_outside():
    changer = VocalTractPerturbation(SPEC)
    edges = librosa.mel_frequencies(SPEC.n_mels + 2, fmin=SPEC.f_min, fmax=SPEC.f_max)
    positions = changer._bin_of(torch.tensor(edges[1:-1]).float())
    torch.testing.assert_close(positions, torch.arange(80.0), atol=1e-3, rtol=0)
    assert changer._bin_of(torch.tensor([0.0, 9000.0])).tolist() == [0.0, 79.0]


def test_autocast_does_not_round_what_must_be_reached():
    mel = torch.randn(1, 80, 9) - 5
    with torch.autocast("cpu", torch.bfloat16):
        rounded = VocalTractPerturbation(SPEC)(mel, change(0.2))
    torch.testing.assert_close(rounded, VocalTractPerturbation(SPEC)(mel, change(0.2)))


def test_draws_are_seeded_bounded_and_centred():
    changer = VocalTractPerturbation(SPEC, max_octaves=0.2, max_gain_db=6.0)
    one, same, other = (changer.draw(500, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.octaves, same.octaves) and torch.equal(one.gain, same.gain)
    assert not torch.equal(one.octaves, other.octaves)
    assert one.octaves.abs().max() <= 0.2 and one.octaves.abs().max() > 0.15
    assert one.gain.abs().max() <= 2 * 6.0 / 20 * np.log(10)
    torch.testing.assert_close(one.gain.mean(-1), torch.zeros(500), atol=1e-5, rtol=0)


def test_a_share_is_left_alone():
    drawn = VocalTractPerturbation(SPEC).draw(2000, torch.Generator().manual_seed(0), share=0.3)
    changed = drawn.octaves != 0
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.04)
    assert drawn.gain[~changed].abs().max() == 0
