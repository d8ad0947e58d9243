import pytest
import torch

from tests.vocoders.test_sourcefilter import DESCRIPTION, SPEC, mel_of
from voiceae.io import modelfile
from voiceae.vocoders.sourcefilter import SourceFilter
from voiceae.vocoders.streaming import StreamingSourceFilter

pytestmark = pytest.mark.numeric


@pytest.fixture
def vocoder() -> SourceFilter:
    torch.manual_seed(0)
    return modelfile.build(DESCRIPTION).eval()


def speak(live: StreamingSourceFilter, mel: torch.Tensor, steps: list[int]) -> torch.Tensor:
    """All of a mel in pushes of so many frames, and silence until it is all out: (M, T) -> samples from the first."""
    frames = mel.shape[-1]
    late = -(-live.delay_samples // SPEC.hop_length)
    floor = torch.full((SPEC.n_mels, late), -11.5129)
    parts = torch.cat((mel, floor), dim=-1).split_with_sizes([*steps, frames + late - sum(steps)], dim=-1)
    wav = torch.cat([live.push(part) for part in parts])
    return wav[live.delay_samples :][: SPEC.samples(frames)]


def test_the_size_of_the_pushes_does_not_matter_much(vocoder: SourceFilter) -> None:
    mel = mel_of(1.0)[0]
    one, other = (
        speak(StreamingSourceFilter(vocoder, 1), mel, steps) for steps in ([4] * 20, [1] * 40 + [2] * 20)
    )
    assert one.shape == other.shape
    assert float((one - other).square().mean()) < 0.05 * float(one.square().mean())


def test_with_all_the_context_it_is_the_whole(vocoder: SourceFilter) -> None:
    mel = mel_of(1.2)[0]
    silence = torch.full((SPEC.n_mels, vocoder.context_frames), -11.5129)
    whole = vocoder(torch.cat((silence, mel, silence), dim=-1)[None])[0]
    start = SPEC.samples(vocoder.context_frames)
    live = StreamingSourceFilter(vocoder, vocoder.context_frames)
    given = speak(live, mel, [5] * 12)
    whole = whole[start : start + len(given)]
    assert torch.allclose(given, whole, atol=5e-3 * float(whole.abs().max()))


def test_silence_after_a_reset(vocoder: SourceFilter) -> None:
    live = StreamingSourceFilter(vocoder, 1)
    live.push(mel_of(0.5)[0])
    live.reset()
    assert float(live.push(torch.full((SPEC.n_mels, 8), -11.5129)).abs().max()) < 1e-4
