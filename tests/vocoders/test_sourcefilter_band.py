"""A wave whose band goes on above the mel's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.vocoders.test_sourcefilter import DESCRIPTION, SPEC, mel_of
from tests.vocoders.test_streaming_sourcefilter import speak
from voiceae.dsp.filters import low_pass
from voiceae.dsp.spectrum import mel_filters, reached_bins
from voiceae.io import modelfile
from voiceae.vocoders.load import load_vocoder
from voiceae.vocoders.sourcefilter import SourceFilter
from voiceae.vocoders.streaming import StreamingSourceFilter

pytestmark = pytest.mark.numeric

WIDE = {**DESCRIPTION, "band": 11025.0}


def heard(description: dict[str, object]) -> SourceFilter:
    """One whose network can be heard."""
    torch.manual_seed(0)
    module = modelfile.build(description).eval()
    torch.nn.init.normal_(module.leave.weight, std=0.1)
    return module


@pytest.fixture
def wide() -> SourceFilter:
    return heard(WIDE)


def level_db(wav: torch.Tensor, low: float, high: float) -> float:
    """Mean power between two frequencies, Hz."""
    samples = wav.double().numpy()
    power = np.square(np.abs(np.fft.rfft(samples * np.hanning(samples.shape[-1]))))
    hertz = np.fft.rfftfreq(samples.shape[-1], 1 / SPEC.sample_rate)
    return float(10 * np.log10(power[..., (hertz > low) & (hertz < high)].mean() + 1e-20))


def mel_of_noise(frames: int) -> torch.Tensor:
    """What white noise of one level has: (1, M, frames)."""
    flat = torch.tensor(mel_filters(SPEC).sum(1)).float().log()
    return (flat - 3.0)[None, :, None].expand(1, -1, frames).contiguous()


def test_the_wave_reaches_as_far_as_the_file_says(wide: SourceFilter) -> None:
    mel = mel_of_noise(120)
    narrow, full = heard(DESCRIPTION)(mel)[0], wide(mel)[0]
    assert level_db(narrow, 8200, 10800) < level_db(narrow, 2000, 7500) - 50
    assert level_db(full, 8200, 10800) > level_db(full, 2000, 7500) - 20
    halfway = heard({**DESCRIPTION, "band": 9500.0})(mel)[0]
    assert level_db(halfway, 8200, 9300) > level_db(halfway, 9700, 10800) + 40


@torch.no_grad()
def test_above_the_mel_its_level_goes_on(wide: SourceFilter) -> None:
    """Where the network bends nothing: noise of one level below has that level above."""
    for weights in (wide.leave.weight, wide.leave.bias):
        torch.nn.init.zeros_(weights)
    wide.leave.bias[wide.bins : 2 * wide.bins] = -20.0  # the share of the harmonics
    wav = wide(mel_of_noise(400))[0]
    assert level_db(wav, 8500, 10500) == pytest.approx(level_db(wav, 5000, 7500), abs=1.0)


def test_silence_stays_silent(wide: SourceFilter) -> None:
    assert float(wide(torch.full((1, 80, 40), float(np.log(SPEC.log_floor)))).abs().max()) < 1e-3


def test_pieces_and_pushes_are_the_whole(wide: SourceFilter) -> None:
    mel = mel_of(1.2)
    whole = wide(mel)
    wide.piece_frames = 31
    pieces = torch.cat(list(wide.blocks(mel.split(17, dim=-1), mel.shape[-1])), dim=-1)
    assert torch.allclose(pieces, whole, atol=2e-3 * float(whole.abs().max()))
    silence = torch.full((1, SPEC.n_mels, wide.context_frames), float(np.log(SPEC.log_floor)))
    around = wide(torch.cat((silence, mel, silence), dim=-1))[0]
    given = speak(StreamingSourceFilter(wide, wide.context_frames), mel[0], [5] * 12)
    around = around[SPEC.samples(wide.context_frames) :][: len(given)]
    assert torch.allclose(given, around, atol=5e-3 * float(around.abs().max()))


def test_a_file_without_a_band_ends_with_the_mel(tmp_path: Path) -> None:
    """As all did before a band could be given: three rows for each bin that the mel reaches."""
    path = tmp_path / "old.safetensors"
    vocoder = heard(DESCRIPTION)
    modelfile.save(path, vocoder, kind="vocoder", description=DESCRIPTION, spec=SPEC)
    loaded = load_vocoder(path, SPEC)
    assert isinstance(loaded, SourceFilter) and loaded.band == SPEC.f_max
    assert len(loaded.leave.weight) == 3 * reached_bins(SPEC)
    assert loaded.excitation.top == pytest.approx(1.1 * SPEC.f_max)
    assert torch.equal(loaded(mel_of(0.3)), vocoder(mel_of(0.3)))


@torch.no_grad()
@pytest.mark.parametrize(("given", "wanted"), [(DESCRIPTION, WIDE), (WIDE, DESCRIPTION)])
def test_starts_from_another_band(given: dict[str, object], wanted: dict[str, object]) -> None:
    source, vocoder = heard(given), heard(wanted)
    torch.nn.init.normal_(source.leave.bias)
    torch.nn.init.normal_(source.enter.weight, std=0.1)
    fresh = vocoder.leave.weight.detach().clone()
    vocoder.start_from(source.state_dict())
    mel, shared = mel_of(0.3), min(source.bins, vocoder.bins)
    f0, harmonics = torch.full((1, mel.shape[-1]), 150.0), torch.zeros(1, mel.shape[-1], 80)
    for ours, theirs in zip(
        vocoder.corrections(mel, harmonics, f0), source.corrections(mel, harmonics, f0), strict=True
    ):
        assert torch.allclose(ours[..., :shared], theirs[..., :shared], atol=1e-5)
    rows = vocoder.leave.weight.unflatten(0, (3, -1))[:, shared:]
    assert torch.equal(rows, fresh.unflatten(0, (3, -1))[:, shared:])


def test_does_not_start_from_another_network(wide: SourceFilter) -> None:
    other = modelfile.build({**DESCRIPTION, "channels": 24})
    with pytest.raises(RuntimeError):
        wide.start_from(other.state_dict())


def test_a_wider_band_changes_nothing_below_the_mels_edge() -> None:
    """Of a vocoder that started from a narrower one: its harmonics are as strong as they were."""
    narrow, wide = heard(DESCRIPTION), heard(WIDE)
    wide.start_from(narrow.state_dict())
    mel = mel_of(1.0)
    before, after = narrow(mel)[0], wide(mel)[0]
    cutoff = torch.tensor([7000.0, 7000.0])
    before, after = low_pass(torch.stack((before, after)), cutoff, SPEC.sample_rate)[:, 2000:-2000]
    assert float((after - before).square().mean() / before.square().mean()) < 1e-3
