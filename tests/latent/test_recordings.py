from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.conversion.voice import Voice
from voiceae.errors import AudioError
from voiceae.latent.recordings import draw_recordings, find_clips, profile_clips


def test_the_innermost_known_folder_is_the_speaker(tiny_voice: Voice, speakers: Path) -> None:
    clips = find_clips(tiny_voice, speakers, {"s1", "s2"})
    assert [(clip.speaker, Path(clip.name).name) for clip in clips] == [
        *(("s1", f"{n}.wav") for n in range(2)),
        *(("s2", f"{n}.wav") for n in range(2)),
    ]
    assert {clip.speaker for clip in find_clips(tiny_voice, speakers)} == {"deep"}
    assert len({clip.speaker for clip in find_clips(tiny_voice, speakers / "deep")}) == 10
    with pytest.raises(AudioError, match=r"no recordings of the speakers asked for \(zoe"):
        find_clips(tiny_voice, speakers, {"zoe"})


def test_clips_of_every_speaker_are_drawn(tiny_voice: Voice, speakers: Path) -> None:
    clips = find_clips(tiny_voice, speakers / "deep")
    one = draw_recordings(clips, 1, np.random.default_rng(0))
    assert len(one) == 10 and len({clip.speaker for clip in one}) == 10
    assert draw_recordings(clips, 9, np.random.default_rng(0)) == clips


def test_a_folder_is_heard_as_its_files_are(tiny_voice: Voice, speakers: Path, tmp_path: Path) -> None:
    clips = find_clips(tiny_voice, speakers, {"s1"})
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1" / "bad.wav").write_text("no audio")
    bad = find_clips(tiny_voice, tmp_path, {"s1"})
    profile, failures = profile_clips(tiny_voice, [*clips, *bad])
    own = tiny_voice.profile(clips[1].name)
    np.testing.assert_allclose(profile["s1"][1].embedding, own.embedding, atol=1e-6)
    assert profile["s1"][1].pitch_centre == own.pitch_centre
    assert [Path(failure.where).name for failure in failures] == ["bad.wav"]
    with pytest.raises(AudioError, match="none of 1 clips"):
        profile_clips(tiny_voice, bad)


def test_a_mel_gives_what_its_recording_gives(tiny_voice: Voice, speakers: Path) -> None:
    file = speakers / "deep/s3/1.wav"
    mel = tiny_voice.mel(file)
    ours, theirs = tiny_voice.describe_mel(mel.numpy()), tiny_voice.profile(file)
    np.testing.assert_allclose(ours.embedding, theirs.embedding, atol=1e-6)
    assert ours.pitch_centre == theirs.pitch_centre
    np.testing.assert_allclose(ours.mel_statistics.pack(), theirs.mel_statistics.pack(), rtol=1e-5)
    np.testing.assert_allclose(ours.mel_statistics.covariance, theirs.mel_statistics.covariance, rtol=1e-5)
    np.testing.assert_allclose(tiny_voice.encode_mel(mel).units, tiny_voice.encode(file).units, atol=1e-6)
