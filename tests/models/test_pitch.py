"""Pitch read off the mel, against tones of known fundamental and real speech tracked by another algorithm."""

import librosa
import numpy as np
import pytest
import torch

from voiceae.dsp.mel import LogMel
from voiceae.models import MelPitch, NoPitch
from voiceae.specs import AudioSpec

SPEC = AudioSpec()
F_LOW = 65.0


def pulse_train(fundamental: float, seconds: float = 1.0) -> torch.Tensor:
    """A buzz with the spectral slope of a voice."""
    time = torch.arange(int(seconds * SPEC.sample_rate)) / SPEC.sample_rate
    harmonics = torch.arange(1, int(7000 / fundamental) + 1)[:, None]
    phases = 6.28 * torch.rand((len(harmonics), 1), generator=torch.Generator().manual_seed(0))
    return 0.1 * (torch.sin(2 * torch.pi * fundamental * harmonics * time + phases) / harmonics).sum(0)


@pytest.fixture(scope="module")
def pitch() -> MelPitch:
    return MelPitch(audio=SPEC.to_dict(), f_low=F_LOW)


def centre_hz(pitch: MelPitch, distribution: torch.Tensor, mel: torch.Tensor) -> float:
    return F_LOW * 2 ** float(pitch.centre(distribution, mel))


@pytest.mark.parametrize("fundamental", [80.0, 110.0, 163.0, 240.0, 390.0])
def test_a_tone_is_where_it_is(pitch, fundamental):
    mel = LogMel(SPEC)(pulse_train(fundamental))[None]
    distribution = pitch(mel)
    torch.testing.assert_close(distribution.sum(1), torch.ones(1, mel.shape[-1]))
    assert centre_hz(pitch, distribution, mel) == pytest.approx(fundamental, rel=0.04)


@pytest.mark.parametrize("octaves", [-0.6, -0.013, 0.0, 0.25, 0.7])
def test_shift_moves_the_centre(pitch, octaves):
    mel = LogMel(SPEC)(pulse_train(160.0))[None]
    moved = pitch.shift(pitch(mel), torch.tensor([octaves]))
    torch.testing.assert_close(moved.sum(1), torch.ones(1, mel.shape[-1]))
    assert centre_hz(pitch, moved, mel) == pytest.approx(160.0 * 2**octaves, rel=0.04)


@pytest.mark.parametrize(("octaves", "edge"), [(9.0, -1), (-9.0, 0)])
def test_what_leaves_the_grid_gathers_at_its_edge(pitch, octaves, edge):
    mel = LogMel(SPEC)(pulse_train(160.0))[None]
    moved = pitch.shift(pitch(mel), torch.tensor([octaves]))
    torch.testing.assert_close(moved[:, edge], torch.ones(1, mel.shape[-1]))


def test_render_draws_the_harmonics(pitch):
    """Rendered peaks fall where the mel of the tone itself has them."""
    mel = LogMel(SPEC)(pulse_train(220.0))[None]
    drawn = pitch.render(pitch(mel))[0, :24, 40]
    real = mel[0, :24, 40]
    real = real - real.mean()
    cosine = torch.nn.functional.cosine_similarity(drawn - drawn.mean(), real, dim=0)
    assert cosine > 0.7


def test_real_speech_agrees_with_yin(pitch, minivctk):
    """Median fundamental of ten speakers, YIN's over the louder frames."""
    clips = sorted((minivctk / "wav48_silence_trimmed").glob("*/*_mic1.flac"))[::50]
    apart = []
    for clip in clips:
        wav, _ = librosa.load(clip, sr=SPEC.sample_rate)
        mel = LogMel(SPEC)(torch.from_numpy(wav))[None]
        yin = librosa.yin(wav, fmin=65, fmax=450, sr=SPEC.sample_rate)
        level = librosa.feature.rms(y=wav)[0][: len(yin)]
        theirs = np.median(yin[level > np.percentile(level, 60)])
        apart.append(abs(np.log2(centre_hz(pitch, pitch(mel), mel) / theirs)))
    assert len(apart) >= 8
    assert np.median(apart) < 0.06
    assert np.mean(np.array(apart) > 0.25) <= 0.2


def test_off_is_a_module_with_the_same_interface():
    off, mel = NoPitch(), torch.zeros(2, 80, 7)
    assert (
        off(mel).shape == off.render(off(mel)).shape == off.shift(off(mel), torch.ones(2)).shape == (2, 0, 7)
    )
    assert off.centre(off(mel), mel).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="without a pitch stream"):
        NoPitch(n_bins=4)


def test_the_centre_is_that_of_speech_and_not_of_what_is_heard_in_its_pauses(pitch):
    """A voice for a third of the time; a hum an octave higher and 40 dB below goes on for the rest."""
    voice, hum = pulse_train(130.0, 0.7), 0.01 * pulse_train(260.0, 1.4)
    mel = LogMel(SPEC)(torch.cat((hum, voice)))[None]
    assert centre_hz(pitch, pitch(mel), mel) == pytest.approx(130.0, rel=0.04)
    # Frames that do not count have no say either, however loud they are.
    mask = torch.ones(1, mel.shape[-1], dtype=torch.bool)
    mask[:, LogMel(SPEC)(hum).shape[-1] - 4 :] = False
    centre = pitch.centre(pitch(mel, mask), mel, mask)
    assert F_LOW * 2 ** float(centre) == pytest.approx(260.0, rel=0.04)
