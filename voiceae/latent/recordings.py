"""Recordings to fit on, from a folder of speakers or a feature store, with mels that are read on demand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from voiceae.conversion.batch import Failure, find_recordings
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.data.store import STORE, FeatureStore
from voiceae.errors import AudioError
from voiceae.io.console import Progress
from voiceae.io.filesystem import FILE_ERRORS, is_file, reason


def bins_per_octave(voice: Voice) -> int:
    """Resolution of the model's pitch grid; 1 for a model without one."""
    return int(getattr(voice.model.pitch, "bins_per_octave", 1))


@dataclass(frozen=True)
class Clip:
    """One recording of a speaker.

    Attributes:
        speaker: whose voice it is.
        name: of the file, or of the utterance in its store.
        mel: reads its log-mel, (M, T), as the model takes it.
    """

    speaker: str
    name: str
    mel: Callable[[], Tensor]


def find_clips(voice: Voice, source: str | Path, speakers: Collection[str] = ()) -> list[Clip]:
    """Clips of a feature store, or of the audio files below a folder, sorted by name.

    Args:
        voice: the model that they are for.
        source: the store or the folder.
        speakers: names to look for; in a folder the innermost one so called is a file's speaker. By default all
            speakers, in a folder its subfolders.

    Raises:
        AudioError: when nothing is found.
        SpecMismatchError: for a store of another mel contract.
    """
    path = Path(source)
    if is_file(path / STORE):
        store = FeatureStore.open(path)
        voice.spec.require_same(store.spec, ours="model", theirs="store")
        clips = [
            Clip(each.speaker, f"{each.speaker}/{each.utterance}", partial(_stored_mel, store, each.index))
            for each in store.utterances
        ]
    else:
        clips = []
        for file, owner in find_recordings([path]).items():
            # Corpora put folders of chapters or microphones below those of the speakers.
            folders = (parent.name for parent in file.absolute().parents)
            speaker = next((name for name in folders if name in speakers), owner)
            clips.append(Clip(speaker, str(file), partial(voice.mel, file)))
    found = [clip for clip in clips if not speakers or clip.speaker in speakers]
    if not found:
        some = ", ".join(sorted(speakers)[:3])
        raise AudioError(f"{path}: holds no recordings of the speakers asked for ({some}, ...)")
    return found


def _stored_mel(store: FeatureStore, index: int) -> Tensor:
    return torch.from_numpy(np.array(store.mel(index).T, np.float32))


def draw_recordings(clips: Iterable[Clip], per_speaker: int, rng: np.random.Generator) -> list[Clip]:
    """Draw at most so many clips of every speaker, in the order they came in."""
    known: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        known[clip.speaker].append(clip)
    drawn = []
    for own in known.values():
        kept = sorted(rng.permutation(len(own))[:per_speaker])
        drawn += [own[place] for place in kept]
    return drawn


def profile_clips(
    voice: Voice, clips: Sequence[Clip], progress: Progress = iter
) -> tuple[dict[str, list[SpeakerProfile]], list[Failure]]:
    """Profiles of every speaker's clips, and the clips that could not be read.

    Args:
        voice: the model.
        clips: at least one.
        progress: wraps the clips, for a progress bar.

    Raises:
        AudioError: when none of them can be used.
    """
    profile: dict[str, list[SpeakerProfile]] = defaultdict(list)
    failures = []
    for clip in progress(clips):
        try:
            # Without its frames, 130 KB: who asks for thousands of clips wants what can be summed up in numbers.
            each = replace(voice.describe_mel(clip.mel().numpy(force=True)), timbre=None)
        except FILE_ERRORS as error:
            failures.append(Failure(clip.name, reason(error, clip.name)))
        else:
            profile[clip.speaker].append(each)
    if not profile:
        raise AudioError(f"none of {len(clips)} clips could be used; the first: {failures[0].reason}")
    return dict(profile), failures
