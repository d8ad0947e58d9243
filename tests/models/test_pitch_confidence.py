"""A pitch is moved only where both sides have one: checked by WORLD's Harvest on what comes out."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import voiceae
from tests.conversion.unvoiced import UNVOICED, clip, median_f0, spoken_at, whispered
from voiceae import Voice
from voiceae.conversion.chunked import ChunkOptions
from voiceae.conversion.embedding_files import EmbeddingTable
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.dsp.statistics import match_covariance

SEMITONE = 1 / 12


@pytest.fixture(scope="module")
def voice() -> Voice:
    """The bundled model: what is done with a pitch is heard only in speech."""
    return voiceae.load("base", device="cpu")


@pytest.fixture(autouse=True)
def _quiet() -> None:
    warnings.simplefilter("ignore")


@pytest.mark.parametrize("name", UNVOICED)
def test_a_target_without_a_pitch_leaves_the_source_where_it_is(voice: Voice, name: str) -> None:
    target = UNVOICED[name]()
    assert voice.profile(target).pitch_centre is None
    if name == "noise":  # what is said in its colour has no pitch that another program would find
        return
    source = clip("slt_2" if name != "whispering woman" else "rms_2")
    moved = np.log2(median_f0(voice.convert(source, target)) / median_f0(source))
    assert abs(moved) < 3 * SEMITONE, f"{name}: the pitch moved by {12 * moved:+.1f} semitones"


@pytest.mark.parametrize(("source", "target"), [("slt_2", "rms_1"), ("rms_2", "slt_1")])
def test_a_target_with_a_pitch_gives_it(voice: Voice, source: str, target: str) -> None:
    out, wanted = median_f0(voice.convert(clip(source), clip(target))), median_f0(clip(target))
    assert abs(np.log2(out / wanted)) < 3 * SEMITONE


@pytest.mark.parametrize("hz", [80.0, 100.0, 180.0, 300.0])
def test_the_grid_s_own_range_is_trusted(voice: Voice, hz: float) -> None:
    heard = voice.profile(spoken_at("rms_1", hz))
    assert heard.pitch_centre == pytest.approx(np.log2(hz / 65.0), abs=2 * SEMITONE)


def test_a_source_without_a_pitch_is_not_moved_in_any_way_of_converting(
    voice: Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[torch.Tensor | None] = []
    decode = type(voice.model).decode

    def spy(self, *arguments, octaves=None, **options):
        moved.append(octaves)
        return decode(self, *arguments, octaves=octaves, **options)

    monkeypatch.setattr(type(voice.model), "decode", spy)
    source = whispered("slt_2")
    voice.convert(source, clip("rms_1"))
    voice.convert(source, clip("rms_1"), chunks=ChunkOptions(chunk_seconds=1.0))
    voice.decode(voice.encode(source), clip("rms_1"))
    voice.stream(clip("rms_1"), source_sample=source).push(source.wav[: len(source.wav) // 2])
    assert len(moved) > 10
    assert [each for each in moved if each is not None and bool((each != 0).any())] == []
    moved.clear()
    voice.convert(clip("slt_2"), clip("rms_1"))
    assert float(moved[0]) < -0.2


def test_either_runtime_decides_alike(voice: Voice) -> None:
    pytest.importorskip("onnxruntime")
    from voiceae.conversion.backends.select import OnnxVoiceLoader

    portable = OnnxVoiceLoader(model="base").load()
    for make in (*UNVOICED.values(), lambda: clip("rms_2")):
        target = make()
        ours, theirs = voice.profile(target).pitch_centre, portable.profile(target).pitch_centre
        assert (ours is None) == (theirs is None)
        assert ours is None or theirs == pytest.approx(ours, abs=1e-4)
    source, target = whispered("slt_2"), voice.profile(clip("rms_1"))
    wanted, statistics = voice.decode(voice.encode(source), target).numpy(), target.mel_statistics
    backend = portable.backend
    decoded = backend.decode(backend.encode(voice.mel(source).numpy()), target, backend.matching)
    found = match_covariance(decoded, statistics.covariance, statistics.frames, backend.matching)
    assert np.abs(found - wanted).mean() < 1e-3


def test_of_several_clips_those_with_a_pitch_are_asked(voice: Voice) -> None:
    both = voice.profile([whispered("rms_1"), clip("rms_2")])
    assert both.pitch_centre == voice.profile(clip("rms_2")).pitch_centre


def test_a_table_keeps_that_a_pitch_is_not_known(voice: Voice, tmp_path) -> None:
    heard = {"a.wav": voice.profile(whispered("rms_1")), "b.wav": voice.profile(clip("slt_1"))}
    EmbeddingTable.from_profiles(heard, {"a.wav": "a", "b.wav": "b"}, voice.fingerprint).save(
        tmp_path / "t.npz"
    )
    assert voice.profile(f"{tmp_path}/t.npz:a").pitch_centre is None
    assert voice.profile(f"{tmp_path}/t.npz:b").pitch_centre is not None
    assert isinstance(voice.profile(f"{tmp_path}/t.npz:a"), SpeakerProfile)


def test_confidence_falls_with_the_share_of_breath(voice: Voice) -> None:
    spoken, breath = clip("slt_1").wav, whispered("slt_1").wav
    size, sure = min(len(spoken), len(breath)), []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        start = round(share * size)
        wav = np.concatenate(
            (breath[:start] / np.abs(breath).max(), spoken[start:size] / np.abs(spoken).max())
        )
        sure.append(float(voice.encode((wav, 22050)).pitch_confidence[0]))
    assert np.all(np.diff(sure) < 0)
    assert sure[0] > 0.4 and sure[-1] < 0.2
