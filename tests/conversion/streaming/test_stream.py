from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import voiceae
from tests.tiny import SPEC
from voiceae import Audio
from voiceae.conversion.streaming.stream import (
    OTHER_SPEAKER_FRAMES,
    InitialStatistics,
    Stream,
    StreamOptions,
    _History,
)
from voiceae.conversion.voice import Voice
from voiceae.dsp.activity import active_frames
from voiceae.errors import AudioError
from voiceae.io import audio as audio_io
from voiceae.nn.int8 import DynamicInt8Linear
from voiceae.vocoders.streaming import StreamingSourceFilter

RATE = SPEC.sample_rate


def buzz(seconds: float, hz: float = 130.0, seed: int = 0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * k * hz * time + k) / k for k in range(1, 15))
    breath = np.random.default_rng(seed).standard_normal(len(time))
    return (0.08 * wave * (1.2 + np.sin(9 * time)) + 0.002 * breath).astype(np.float32)


@pytest.fixture(scope="module")
def target() -> Audio:
    return Audio(buzz(1.0, 220.0, seed=1), RATE)


def in_blocks(stream: Stream, wav: np.ndarray, sizes: list[int]) -> np.ndarray:
    parts, done = [], 0
    for size in sizes:
        parts.append(stream.push(wav[done : done + size]))
        done += size
    assert done >= len(wav)
    return np.concatenate((*parts, stream.flush()))


@pytest.mark.parametrize("samples", [1, 700, 1408, 1409, 15_000])
def test_as_many_out_as_in(tiny_voice: Voice, target: Audio, samples: int) -> None:
    assert len(in_blocks(tiny_voice.stream(target), buzz(1.0)[:samples], [samples])) == samples
    assert len(tiny_voice.stream(target).flush()) == 0


def test_blocks_of_20_ms_with_jitter_lose_and_repeat_nothing(tiny_voice: Voice, target: Audio) -> None:
    wav, rng = buzz(1.2), np.random.default_rng(0)
    sizes = [
        max(0, round(0.02 * RATE + 200 * rng.standard_normal())) * int(rng.random() > 0.1) for _ in range(100)
    ]
    assert 0 in sizes
    at_once = in_blocks(tiny_voice.stream(target), wav, [len(wav)])
    np.testing.assert_array_equal(in_blocks(tiny_voice.stream(target), wav, sizes), at_once)
    assert np.abs(at_once).max() > 0.01


@pytest.mark.parametrize("options", [StreamOptions(), StreamOptions(look_ahead=2, vocoder_look_ahead=3)])
def test_nothing_is_later_than_declared(tiny_voice: Voice, target: Audio, options: StreamOptions) -> None:
    stream, out, late = tiny_voice.stream(target, options=options), 0, []
    for pushed in range(100, 12_000, 100):
        late.append(pushed - 100 - out)  # the block that follows shows how long the oldest sample had waited
        out += len(stream.push(buzz(0.1)[:100]))
    assert stream.latency_samples - 100 <= max(late) < stream.latency_samples
    assert stream.latency_seconds == stream.latency_samples / RATE
    if options == StreamOptions():
        assert stream.latency_seconds < 0.1


def test_silence_in_silence_out(tiny_voice: Voice, target: Audio) -> None:
    wav = np.zeros(2 * RATE, np.float32)
    wav[RATE // 2 : RATE] = buzz(0.5)
    out = in_blocks(tiny_voice.stream(target), wav, [len(wav)])
    assert not out[: RATE // 2 - 3 * SPEC.hop_length].any()
    assert not out[RATE + round(0.2 * RATE) :].any()
    assert np.sqrt(np.square(out[RATE // 2 : RATE]).mean()) > 0.01


def test_a_pause_is_not_computed(tiny_voice: Voice, target: Audio, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = tiny_voice.stream(target)
    asked = []
    say = stream._model.convert
    monkeypatch.setattr(stream._model, "convert", lambda *a: (asked.append(1), say(*a))[1])
    in_blocks(stream, np.concatenate((buzz(0.3), np.zeros(3 * RATE, np.float32))), [4 * RATE])
    assert len(asked) < 25  # of 72 steps


def test_what_will_speak_may_be_known_before(tiny_voice: Voice, target: Audio) -> None:
    """With the recording itself as the prior, the first word is already near to the conversion of the whole."""
    source = Audio(buzz(2.0), RATE)
    options = StreamOptions(look_ahead=6, memory_seconds=100.0)
    whole = tiny_voice.convert(source, target).wav
    known, unknown = (
        in_blocks(
            tiny_voice.stream(given, source_sample=like, options=options), source.wav, [len(source.wav)]
        )
        for given, like in ((target, source), (tiny_voice.profile(target), None))
    )
    mels = [tiny_voice.torch_backend.transform(torch.from_numpy(wav)) for wav in (whole, known, unknown)]
    near, far = (float((mel - mels[0])[:, 4:40].abs().mean()) for mel in mels[1:])
    assert near < 0.5 and near < 0.8 * far


def test_the_voices_covariance_is_taken_on_as_far_as_it_is_wanted(tiny_voice: Voice, target: Audio) -> None:
    profile, wav = tiny_voice.profile(target), buzz(1.5)
    assert profile.mel_statistics is not None
    older = replace(profile, mel_statistics=replace(profile.mel_statistics, covariance=None))
    for matching, alike in ((1.0, False), (0.0, True)):
        ours, theirs = (
            in_blocks(tiny_voice.stream(each, matching=matching), wav, [len(wav)])
            for each in (profile, older)
        )
        assert np.array_equal(ours, theirs) is alike


def test_what_is_no_block_is_refused(tiny_voice: Voice, target: Audio) -> None:
    stream = tiny_voice.stream(target)
    for wrong in (np.zeros((2, 9), np.float32), np.zeros(9, np.int16), np.full(9, np.nan, np.float32)):
        with pytest.raises(AudioError, match="a block"):
            stream.push(wrong)
    stream.flush()
    with pytest.raises(AudioError, match="was flushed"):
        stream.push(np.zeros(9, np.float32))


def test_the_voice_is_left_as_it_was(tiny_voice: Voice, target: Audio) -> None:
    source = Audio(buzz(1.0), RATE)
    before = tiny_voice.convert(source, target).wav
    in_blocks(tiny_voice.stream(target), source.wav, [RATE])
    np.testing.assert_array_equal(tiny_voice.convert(source, target).wav, before)


@pytest.mark.numeric
def test_eight_bits_belong_to_the_stream_alone(tiny_voice: Voice, target: Audio) -> None:
    def layers(*parts: torch.nn.Module) -> set[type]:
        return {type(module) for part in parts for module in part.modules()}

    stream = tiny_voice.stream(target)
    content = stream._model.model.content
    assert DynamicInt8Linear in layers(content) and torch.nn.Linear not in layers(content)
    exact = tiny_voice.stream(target, options=StreamOptions(int8=False))
    assert DynamicInt8Linear not in layers(exact._model.model)
    assert DynamicInt8Linear not in layers(tiny_voice.model, tiny_voice.vocoder)


@pytest.mark.numeric
def test_eight_bits_are_hardly_heard_in_real_speech(minivctk: Path) -> None:
    voice = voiceae.load("base", device="cpu")
    clips = sorted(minivctk.glob("wav48*/*/*_001_mic1.flac"))
    source = audio_io.load(clips[0], RATE).wav[: 3 * RATE]
    streams = [voice.stream(clips[1], options=StreamOptions(int8=eight)) for eight in (False, True)]
    assert isinstance(streams[1]._vocoder, StreamingSourceFilter)
    assert isinstance(streams[1]._vocoder._vocoder.leave, DynamicInt8Linear)
    exact, rounded = (
        torch.from_numpy(voice.backend.features(in_blocks(stream, source, [len(source)])))
        for stream in streams
    )
    loud = active_frames(exact[None])[0]
    assert 1e-3 < float((rounded - exact)[:, loud].abs().mean()) < 0.2


def test_the_latest_frames_are_kept() -> None:
    whole = torch.arange(100.0).expand(2, 100)
    for start in (0, 3, 30):
        history, done = _History(10, (whole[:, :start],)), start
        for count in (4, 1, 12, 3, 4, 4, 5, 2):
            done += count
            history.add(whole[:, done - count : done])
            assert torch.equal(history.parts[0], whole[:, max(0, done - 10) : done][:, -10:])


def test_silence_inside_speech_stays_silence(tiny_voice: Voice, target: Audio) -> None:
    """Digital zero between two sentences is digital zero again, a third of a second after the first one ended."""
    wav = np.concatenate((buzz(1.5), np.zeros(2 * RATE, np.float32), buzz(1.0, seed=3)))
    out = in_blocks(tiny_voice.stream(target), wav, [441] * (len(wav) // 441 + 1))
    assert not out[round(1.5 * RATE) + RATE // 3 : round(3.5 * RATE) - 3 * SPEC.hop_length].any()
    for first, last in ((0.5, 1.5), (3.5, 4.4)):
        spoken = out[round(first * RATE) : round(last * RATE)]
        assert np.sqrt(np.square(spoken).mean()) > 0.01


def test_a_stranger_counts_for_some_seconds_and_the_speaker_for_all(tiny_voice: Voice, target: Audio) -> None:
    mel = torch.randn(SPEC.n_mels, 1000, generator=torch.Generator().manual_seed(0)) - 4
    profile = tiny_voice.profile(target)
    stranger, speaker = (
        InitialStatistics.measure(tiny_voice.model, mel, profile, of_source=own) for own in (False, True)
    )
    assert (stranger.frames, speaker.frames) == (OTHER_SPEAKER_FRAMES, 1000 / tiny_voice.model.rate)
    assert stranger.mel.shape[1] == stranger.pitch.shape[1] == 0 and speaker.mel.shape[1] == 1000


def test_long_silence_does_not_count(
    tiny_voice: Voice, target: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a long look-ahead it is still heard by the network, but leaves pitch, colour and norms as they are."""
    stream, counts = tiny_voice.stream(target, options=StreamOptions(look_ahead=16)), []
    say = stream._model.convert
    monkeypatch.setattr(
        stream._model, "convert", lambda mel, count: (counts.append(count), say(mel, count))[1]
    )
    in_blocks(stream, np.concatenate((buzz(1.0), np.zeros(2 * RATE, np.float32))), [3 * RATE])
    assert all(counts[:20]) and not any(counts[-3:])
