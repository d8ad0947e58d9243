import librosa
import numpy as np
import torch

from tests.io.waves import harmonic
from voiceae.dsp.yin import yin
from voiceae.specs import AudioSpec

SPEC = AudioSpec()


def test_finds_the_fundamental_of_harmonics_and_their_periodicity() -> None:
    wavs = torch.stack([torch.tensor(harmonic(f0, 1.0, SPEC.sample_rate)) for f0 in (90.0, 211.3, 400.0)])
    f0, aperiodicity = yin(wavs, SPEC)
    assert f0.shape == aperiodicity.shape == (3, SPEC.frames(wavs.shape[1]))
    inside = f0[:, 6:-6]
    assert torch.allclose(inside, torch.tensor([[90.0], [211.3], [400.0]]).expand_as(inside), rtol=5e-3)
    assert float(aperiodicity[:, 6:-6].max()) < 0.05


def test_noise_is_aperiodic() -> None:
    noise = torch.randn(1, SPEC.sample_rate, generator=torch.Generator().manual_seed(0))
    assert float(yin(noise, SPEC)[1].median()) > 0.5


def test_agrees_with_librosa_on_a_glide() -> None:
    rate, seconds = SPEC.sample_rate, 1.5
    f0 = np.geomspace(110, 330, int(rate * seconds))
    phase = 2 * np.pi * np.cumsum(f0) / rate
    wav = sum(np.cos(k * phase) / k for k in range(1, 9)).astype(np.float32)
    ours = yin(torch.tensor(wav)[None], SPEC)[0][0, 6:-8].numpy()
    padded = np.pad(wav, 1024 - SPEC.hop_length // 2)
    theirs = librosa.yin(padded, fmin=60, fmax=550, sr=rate, frame_length=2048, hop_length=256, center=False)
    theirs = theirs[6 : 6 + len(ours)]
    assert np.median(np.abs(np.log2(ours / theirs))) < 0.01
