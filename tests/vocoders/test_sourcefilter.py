from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

import voiceae
from tests.io.waves import harmonic
from voiceae.dsp.mel import LogMel
from voiceae.errors import VoiceAEError
from voiceae.io import modelfile
from voiceae.specs import AudioSpec
from voiceae.vocoders.load import load_vocoder
from voiceae.vocoders.sourcefilter import PitchReader, SourceFilter

pytestmark = pytest.mark.numeric

SPEC = AudioSpec()
CLIPS = Path(__file__).parents[2] / "recipes/demo/clips"
BUNDLED = Path(voiceae.__file__).parent / "assets/vocoder.safetensors"
DESCRIPTION = {
    "_target_": "voiceae.vocoders.sourcefilter.SourceFilter",
    "audio": SPEC.to_dict(),
    "channels": 16,
    "hidden": 32,
    "n_blocks": 2,
    "pitch": {"channels": 16, "hidden": 32, "n_blocks": 1},
}


@pytest.fixture
def vocoder() -> SourceFilter:
    torch.manual_seed(0)
    return modelfile.build(DESCRIPTION).eval()


def mel_of(seconds: float, f0: float = 180.0) -> torch.Tensor:
    wav = torch.tensor(harmonic(f0, seconds, SPEC.sample_rate))[: int(seconds * 86) * 256]
    return LogMel(SPEC)(wav[None])


def knowing(vocoder: SourceFilter, f0: float) -> SourceFilter:
    """The same with a pitch reader that is certain."""
    place = (vocoder.pitch.grid / f0).log2().abs().argmin()
    torch.nn.init.zeros_(vocoder.pitch.leave.weight)
    torch.nn.init.constant_(vocoder.pitch.leave.bias, -30.0)
    vocoder.pitch.leave.bias[place] = 0.0
    return vocoder


def test_gives_a_hop_of_samples_for_every_frame(vocoder: SourceFilter) -> None:
    for frames in (1, 2, 57):
        assert vocoder(torch.randn(2, 80, frames) - 5).shape == (2, frames * SPEC.hop_length)


@torch.no_grad()
def test_what_it_says_has_the_wanted_mel_and_fundamental(vocoder: SourceFilter) -> None:
    mel = mel_of(1.0)
    wav = knowing(vocoder, 180.0)(mel)
    assert float((LogMel(SPEC)(wav) - mel)[..., 4:-4].abs().mean()) < 0.6
    loud = wav[0, 4096:-4096].numpy()
    f0 = librosa.yin(loud, fmin=80, fmax=400, sr=SPEC.sample_rate)
    assert np.median(f0) == pytest.approx(180.0, rel=0.02)


def test_silence_stays_silent(vocoder: SourceFilter) -> None:
    wav = vocoder(torch.full((1, 80, 40), float(np.log(SPEC.log_floor))))
    assert float(wav.abs().max()) < 1e-4


def test_pieces_are_the_whole(vocoder: SourceFilter) -> None:
    mel = mel_of(2.0) + 0.3 * torch.randn(1, 80, 1, generator=torch.Generator().manual_seed(1))
    whole = vocoder(mel)
    vocoder.piece_frames = 31
    pieces = torch.cat(list(vocoder.blocks(mel.split(17, dim=-1), mel.shape[-1])), dim=-1)
    assert pieces.shape == whole.shape
    assert torch.allclose(pieces, whole, atol=2e-3 * float(whole.abs().max()))


def test_training_and_inference_agree(vocoder: SourceFilter) -> None:
    mel = mel_of(0.8)
    with torch.no_grad():
        assert torch.allclose(vocoder.synthesise(mel).wav, vocoder(mel), atol=1e-5)


def test_every_weight_of_the_filter_learns(vocoder: SourceFilter) -> None:
    made = vocoder.synthesise(mel_of(0.5))
    (made.wav.square().mean() + made.pitch.logsumexp(-1).mean() + made.pitch[..., 3].mean()).backward()
    without = [name for name, weight in vocoder.named_parameters() if weight.grad is None]
    assert not without


def test_the_peak_is_found_between_the_grid_points() -> None:
    reader = PitchReader(n_mels=80, channels=4, hidden=4, n_blocks=0)
    place = 70.4
    logits = -0.5 * (torch.arange(reader.n_bins) - place).square()[None, None]
    wanted = 55.0 * 2 ** (place / 48)
    assert float(reader.fundamental(logits)) == pytest.approx(wanted, rel=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("clip", ["slt_1", "rms_2"])
def test_the_fundamental_is_as_fine_under_autocast(clip: str) -> None:
    """Or a vocoder is trained on another fundamental than it speaks with."""
    wav, _ = librosa.load(CLIPS / f"{clip}.flac", sr=SPEC.sample_rate)
    mel = LogMel(SPEC)(torch.from_numpy(wav)[None])
    bundled = load_vocoder(BUNDLED, SPEC)
    _, wanted = bundled.read_pitch(mel)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        f0 = bundled.read_pitch(mel)[1].float()
    assert len(f0.unique()) > 0.9 * f0.numel()
    cents = 1200 * (f0 / wanted).log2().abs()[0]
    assert float(cents.median()) < 0.5 and float(cents.quantile(0.95)) < 2.0
    assert float((cents > 50).float().mean()) < 0.02  # two peaks of the grid that are about as likely


def test_each_item_may_start_elsewhere(vocoder: SourceFilter) -> None:
    """As if each were spoken alone, from its own phase and its own part of the noise."""
    mel = mel_of(0.5).repeat(3, 1, 1)
    with torch.no_grad():
        f0 = vocoder.read_pitch(mel)[1]
        turns, first = vocoder.excitation.draw(3, torch.Generator().manual_seed(0))
        together = vocoder.spectra(mel, f0, turns, first)
        alone = [vocoder.spectra(mel[:1], f0[:1], turns[n, None], int(first[n])) for n in range(3)]
    apart = (together - torch.cat(alone, dim=1)).abs().mean() / together.abs().mean()
    assert float(apart) < 1e-4
    assert len(turns.unique()) == len(first.unique()) == 3
    assert float(turns.min()) >= 0 and float(turns.max()) < 1


def test_is_loaded_as_a_vocoder_of_its_mel_only(vocoder: SourceFilter, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    modelfile.save(path, vocoder, kind="vocoder", description=DESCRIPTION, spec=SPEC)
    mel = mel_of(0.3)
    assert torch.equal(load_vocoder(path, SPEC)(mel), vocoder(mel))
    with pytest.raises(VoiceAEError):
        load_vocoder(path, AudioSpec(hop_length=200))


@torch.no_grad()
@pytest.mark.parametrize("span", [(0, 3), (9, 13), (36, 40)])
def test_a_span_of_frames_is_a_span_of_the_whole(vocoder: SourceFilter, span: tuple[int, int]) -> None:
    torch.nn.init.normal_(vocoder.leave.weight, std=0.1)  # so that the network can be heard
    mel, f0 = mel_of(0.5)[..., :40], torch.linspace(100, 200, 40)[None]
    whole = vocoder.spectra(mel, f0, first=7)[:, :, slice(*span)]
    assert torch.allclose(vocoder.spectra(mel, f0, first=7, span=span), whole, atol=1e-5, rtol=1e-4)
