from __future__ import annotations

import gc
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from tests.tiny import SPEC, full_disk
from voiceae import Audio
from voiceae.conversion.backends.torch import TorchBackend, decode, match
from voiceae.conversion.chunked import ChunkedConversion, ChunkOptions
from voiceae.conversion.reference_quality import covering_spans
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.errors import AudioError, OutputError
from voiceae.io import audio as audio_io
from voiceae.models import Autoencoder, Content
from voiceae.vocoders.griffinlim import GriffinLim

RATE = SPEC.sample_rate
SHORT = ChunkOptions(chunk_seconds=1.3, statistics_seconds=4.0, segment_seconds=0.5)


def speechlike(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise and tones whose level and colour change all the time, with pauses."""
    rng, time = np.random.default_rng(seed), np.arange(round(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * 30 * np.cumsum(4 + np.sin(3 * time)) / RATE * 1.5)
    wave = (0.3 * tone + 0.05 * rng.standard_normal(len(time))) * (np.sin(5 * time) > -0.7)
    return (0.3 * wave * (1 + np.sin(0.7 * time)) / 2).astype(np.float32)


def conversion(
    voice: Voice, wav: np.ndarray, profile: SpeakerProfile, chunks: ChunkOptions
) -> ChunkedConversion:
    return ChunkedConversion(voice.torch_backend, lambda: iter(np.array_split(wav, 7)), profile, 1.0, chunks)


@pytest.fixture(scope="module")
def profile(tiny_voice: Voice) -> SpeakerProfile:
    return tiny_voice.profile(Audio(speechlike(2.0, seed=5), RATE))


@pytest.mark.parametrize("frames", [1, 99, 100, 101, 150, 190, 191, 1000, 1234])
def test_spans_cover_everything_and_overlap(frames: int) -> None:
    chunks = covering_spans(frames, 1.0, 100, 10)
    assert chunks[0][0] == 0 and chunks[-1][1] == frames
    assert all(0 < stop - start <= 100 for start, stop in chunks)
    assert len({stop - start for start, stop in chunks}) == 1
    assert all(later[0] <= earlier[1] - 10 for earlier, later in itertools.pairwise(chunks))
    assert all(later[1] > earlier[1] for earlier, later in itertools.pairwise(chunks))


@pytest.mark.parametrize(("samples", "frames"), [(600, 3), (768, 3), (769, 4)])
def test_frames_reach_the_last_sample(tiny_voice: Voice, samples: int, frames: int) -> None:
    assert tiny_voice.backend.features(np.ones(samples, np.float32)).shape == (SPEC.n_mels, frames)


@pytest.mark.numeric
def test_chunks_equal_the_whole_where_both_use_the_same_statistics(
    tiny_voice: Voice, profile: SpeakerProfile
) -> None:
    """At every frame, seams included, and the whole equals the plain way through the network."""
    wav = speechlike(12.0)
    chunks, whole = (
        conversion(tiny_voice, wav, profile, ChunkOptions(chunk_seconds=s)) for s in (1.0, 100.0)
    )
    mel = tiny_voice.mel(Audio(wav, RATE))
    with torch.inference_mode():
        plain = match(decode(tiny_voice.model, tiny_voice.model.encode(mel[None]), profile), profile, 1.0)
        frozen = chunks.freeze_statistics()
        parts = list(chunks.converted_mels(frozen))
        assert len(parts) > 9 and frozen.converted.covariance_match is not None
        in_chunks, in_one = torch.cat(parts, dim=1), torch.cat(list(whole.converted_mels(frozen)), dim=1)
    torch.testing.assert_close(in_chunks, in_one, atol=1e-4, rtol=0)
    torch.testing.assert_close(in_chunks, plain, atol=1e-3, rtol=0)


def test_statistics_come_from_a_sample_of_a_long_source(tiny_voice: Voice, profile: SpeakerProfile) -> None:
    wav = speechlike(12.0)
    sampled, all_of_it = (
        conversion(tiny_voice, wav, profile, chunks).freeze_statistics() for chunks in (SHORT, ChunkOptions())
    )
    few, many = (float(frozen.converted.moments[2]) for frozen in (sampled, all_of_it))
    assert 0.2 * many < few < 0.5 * many
    assert not torch.equal(sampled.converted.moments[0], all_of_it.converted.moments[0])
    torch.testing.assert_close(sampled.converted.moments[0], all_of_it.converted.moments[0], atol=0.5, rtol=0)
    assert sampled.converted.covariance_match is not None and all_of_it.converted.covariance_match is not None
    np.testing.assert_allclose(
        sampled.converted.covariance_match.centre, all_of_it.converted.covariance_match.centre, atol=0.5
    )


@pytest.mark.numeric
def test_the_wave_in_chunks_is_the_wave_of_the_whole(tiny_voice: Voice, profile: SpeakerProfile) -> None:
    """In what is heard of it, at the seams and everywhere; its samples may differ by what rounding makes of them.

    The mels that the two are spoken from differ by one float32 rounding (1e-6), no more at a seam than elsewhere.
    Griffin-Lim with momentum follows such a difference: noise of 1e-7 on the mel of the whole moves 0.2 % of its
    samples by up to 3.6e-3 of the peak, in frames that have nothing to do with the seams, and its log-mel by 8e-6.
    Processors without AVX-512 round elsewhere, and so single samples come out up to 2.5e-3 apart there.
    """
    source = Audio(speechlike(6.0), RATE)
    whole = tiny_voice.convert(source, profile).wav
    chunks = tiny_voice.convert(source, profile, chunks=ChunkOptions(chunk_seconds=1.3)).wav
    assert len(chunks) == len(whole) == len(source.wav)
    transform, engine = (
        tiny_voice.torch_backend.transform,
        conversion(tiny_voice, source.wav, profile, ChunkOptions(chunk_seconds=1.3)),
    )
    frames = [part.shape[1] for part in engine.converted_mels(engine.freeze_statistics())]
    seams = np.cumsum(frames)[:-1]
    assert len(seams) > 3
    apart = (transform(torch.from_numpy(chunks)) - transform(torch.from_numpy(whole))).abs()
    assert apart.mean() < 1e-3
    for seam in seams:
        assert apart[:, seam - 3 : seam + 3].mean() < 1e-3, f"the frames around {seam}"


def test_a_long_source_is_cut_by_itself(
    tiny_voice: Voice, profile: SpeakerProfile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", speechlike(3.0), RATE)
    monkeypatch.setattr(TorchBackend, "whole_seconds", 2.0)
    cut: list[float] = []
    blocks = ChunkedConversion.blocks
    monkeypatch.setattr(ChunkedConversion, "blocks", lambda self: (cut.append(self.frames), blocks(self))[1])
    tiny_voice.convert_file(tmp_path / "a.wav", profile, tmp_path / "long" / "b.flac")
    assert cut == [SPEC.frames(round(3.0 * RATE)) + 1]
    written, direct = (
        audio_io.read(tmp_path / "long" / "b.flac"),
        tiny_voice.convert(tmp_path / "a.wav", profile),
    )
    np.testing.assert_allclose(written.wav, direct.wav, atol=2 / 32768)
    assert [path.name for path in (tmp_path / "long").iterdir()] == ["b.flac"]


def test_memory_does_not_grow(tiny_voice: Voice, profile: SpeakerProfile) -> None:
    """Every tensor that is alive early and late, where the vocoder is at the same place in its pieces of 48 blocks."""
    wav, sizes = speechlike(24.0), []
    quick = TorchBackend(model=tiny_voice.model, spec=SPEC, vocoder=GriffinLim(SPEC, n_iter=1))
    long = ChunkedConversion(quick, lambda: iter(np.array_split(wav, 7)), profile, 1.0, SHORT)
    for index, _ in enumerate(long.blocks()):
        if index in (60, 60 + 4 * 48):
            storages = [t.untyped_storage() for t in gc.get_objects() if type(t) is torch.Tensor]
            sizes.append(sum({each.data_ptr(): each.nbytes() for each in storages}.values()))
    assert sizes[1] < sizes[0] + 500_000  # the waves between the two are 1.2 MB, the mels 0.7 MB


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50_000])


def rewritten(path: Path) -> None:
    soundfile.write(path, speechlike(1.0), RATE)


@pytest.mark.parametrize("spoil", [cut_off, rewritten])
def test_a_source_that_changes_meanwhile_leaves_nothing(
    tiny_voice: Voice, profile: SpeakerProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: object
) -> None:
    source = tmp_path / "a.wav"
    soundfile.write(source, speechlike(3.0), RATE)
    freeze = ChunkedConversion.freeze_statistics
    monkeypatch.setattr(ChunkedConversion, "freeze_statistics", lambda self: (freeze(self), spoil(source))[0])  # type: ignore[operator]
    with pytest.raises(AudioError, match=r"is truncated|samples and then"):
        tiny_voice.convert_file(source, profile, tmp_path / "b.wav", chunks=SHORT)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_full_disk_and_an_existing_file(tiny_voice: Voice, profile: SpeakerProfile, tmp_path: Path) -> None:
    source, out = Audio(speechlike(3.0), RATE), tmp_path / "b.wav"
    for room in (5_000, 200_000):
        with pytest.raises(OutputError, match=r"b\.wav: cannot be written: File too large"), full_disk(room):
            tiny_voice.convert_file(source, profile, out, chunks=SHORT)
        assert not list(tmp_path.iterdir())
    out.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        tiny_voice.convert_file(source, profile, out, chunks=SHORT)
    assert out.read_bytes() == b"mine"
    with pytest.raises(OutputError, match=r"cannot write \.xyz"):
        tiny_voice.convert_file(source, profile, tmp_path / "b.xyz", chunks=SHORT)


@pytest.mark.parametrize("wav", [np.zeros(RATE, np.float32), np.ones(900, np.float32)])
def test_what_is_no_source_is_refused_in_chunks_too(
    tiny_voice: Voice, profile: SpeakerProfile, wav: np.ndarray
) -> None:
    with pytest.raises(AudioError, match="a source needs"):
        tiny_voice.convert(Audio(wav, RATE), profile, chunks=SHORT)


def test_a_file_in_chunks_is_the_wave_in_chunks(
    tiny_voice: Voice, profile: SpeakerProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "voiceae.conversion.voice._SCRATCH_BYTES", 4 * 10_000
    )  # several blocks, each at its place in the envelope
    source = speechlike(6.0)
    source[RATE:] *= np.float32(0.03)  # where the toy speaks on, as loud as before
    wave = tiny_voice.convert(Audio(source, RATE), profile, chunks=SHORT).wav
    tiny_voice.convert_file(Audio(source, RATE), profile, tmp_path / "b.wav", chunks=SHORT)
    written = soundfile.read(tmp_path / "b.wav", dtype="float32")[0]
    np.testing.assert_allclose(written, wave, atol=2e-5)
    assert np.abs(wave[2 * RATE :]).max() < 0.5 * np.abs(wave[:RATE]).max()


def test_every_chunk_is_moved_by_the_pitch_of_the_whole(
    tiny_voice: Voice, profile: SpeakerProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a source that speaks higher in its second half, which each chunk alone would bring to one height."""
    shifts: list[float] = []
    with_octaves = Autoencoder.decode

    def noted(
        self: Autoencoder, content: Content, speaker: Tensor, *, octaves: Tensor | None = None, **rest: Any
    ) -> Tensor:
        assert octaves is not None
        shifts.append(float(octaves[0]))
        return with_octaves(self, content, speaker, octaves=octaves, **rest)

    time = np.arange(RATE * 12) / RATE
    f0 = np.where(time < 6, 120.0, 200.0)
    wav = sum(np.sin(2 * np.pi * k * np.cumsum(f0) / RATE) / k for k in range(1, 12))
    wav = (0.1 * wav * (0.4 + 0.6 * np.abs(np.sin(5 * time)))).astype(np.float32)
    low, high = (float(tiny_voice.profile(Audio(half, RATE)).pitch_centre or 0) for half in np.split(wav, 2))
    assert high - low > 0.5  # so that the halves would be moved by different amounts
    made = conversion(tiny_voice, wav, replace(profile, pitch_centre=1.0), ChunkOptions(chunk_seconds=2.0))
    frozen = made.freeze_statistics()
    monkeypatch.setattr(Autoencoder, "decode", noted)
    assert len(list(made.converted_mels(frozen))) > 4
    assert shifts == [pytest.approx(1.0 - frozen.pitch_centre)] * len(shifts)
