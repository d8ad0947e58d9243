"""Aligned groups: one sentence in several voices, in step frame by frame, so that each is another's true conversion.

Such groups come from a synthesiser that decides the timing apart from the voice, or from one recording changed in
several ways. They are listed by name, checked by their levels, and trimmed by one interval, so that frame t of one
member is frame t of all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voiceae.data.corpora import (
    TRAIN,
    VALID_SPEAKERS,
    VALID_UTTERANCES,
    Recording,
    list_folders,
    require_apart,
    shuffled,
    tell_apart,
)
from voiceae.dsp.activity import speech_bounds, trimmed_interval
from voiceae.errors import CorpusError
from voiceae.io.folders import UnusedFile
from voiceae.specs import AudioSpec

# Least correlation of the members' changes of level. Of 180 pairs of aligned renderings the lowest is .68, of 100
# recordings and their band-limited copies with noise .76; the highest of 1,102 pairs of other sentences of nearly
# equal length is .52, of the renderings moved by three frames .43.
LEAST_CORRELATION = 0.6
_DEPTH_DB = 40.0  # below the loudest frames: what is quieter is the room's
_LOUD = 0.95  # quantile of the frames that stands for the loudest
_MOST_DB = 10.0  # of a change that counts: one jump, such as a late start, must not decide alone
_FEWEST_FRAMES = 16  # in which all members speak, for changes to be compared there
_STEP_FRAMES = 3  # over which the level changes: about 35 ms, a phone is twice as long

Wave = NDArray[np.float32]


def list_corpora(
    kind: str,
    roots: Sequence[str | Path],
    aligned: Sequence[str | Path],
    *,
    mic: str,
    unused: list[UnusedFile],
) -> list[Recording]:
    """Recordings of corpora, and after them those of folders of aligned ones with their groups.

    Args:
        kind: of the corpora.
        roots: their folders, or the table of one.
        aligned: folders of speakers whose recordings are aligned where their names are equal.
        mic: which microphone of VCTK.
        unused: gets what lies there and is not used.

    Raises:
        CorpusError: where one of them is not what it should be, or lies within another.
    """
    require_apart([*roots, *aligned])
    plain = list_folders(kind, roots, mic=mic, unused=unused)
    grouped = list_folders("folder", aligned, unused=unused, first=len(roots)) if aligned else []
    grouped = form_groups(grouped, unused) if grouped else []
    return tell_apart([*plain, *grouped])


def form_groups(recordings: Sequence[Recording], unused: list[UnusedFile]) -> list[Recording]:
    """Recordings of aligned folders with their groups, members beside each other: by group and speaker.

    Recordings of the same name form a group. A sentence that one speaker alone has is left out, and so is a second
    recording of it by the same speaker.

    Args:
        recordings: of all aligned folders.
        unused: gets what is left out.

    Raises:
        CorpusError: when no sentence is left.
    """
    by_name: dict[str, dict[str, Recording]] = defaultdict(dict)
    for recording in recordings:
        members = by_name[recording.utterance]
        if recording.speaker in members:
            unused.append(UnusedFile(recording.path, "a second rendering of a sentence by the same speaker"))
        else:
            members[recording.speaker] = recording
    result = []
    for name, members in sorted(by_name.items()):
        if len(members) > 1:
            result += [replace(members[speaker], group=name) for speaker in sorted(members)]
        else:
            unused += [
                UnusedFile(each.path, "a sentence that no other speaker has") for each in members.values()
            ]
    if not result:
        raise CorpusError(
            "--aligned: no sentence of two speakers was found; expected speaker/SENTENCE files, of the same name where "
            "they are aligned"
        )
    return result


def split_groups(
    grouped: Sequence[Recording], others: Sequence[Recording], *, valid_utterances: float, seed: int
) -> list[Recording]:
    """Aligned recordings with their splits: a group goes to one of them whole.

    A share of the groups is held out as utterances, as far as each of their speakers keeps a recording to train on.
    No speaker of a group is held out.

    Args:
        grouped: the aligned recordings.
        others: all others, with their splits.
        valid_utterances: part of the groups to hold out.
        seed: of the draw.

    Raises:
        CorpusError: when the corpus holds out a speaker of a group.
    """
    voices = {recording.speaker for recording in grouped}
    kept_out = sorted({r.speaker for r in others if r.split == VALID_SPEAKERS and r.speaker in voices})
    if kept_out:
        raise CorpusError(
            f"{kept_out[0]}: is a held-out speaker of the corpus, and one of the aligned; rename one of the two"
        )
    left = Counter(r.speaker for r in (*grouped, *others) if r.split in (None, TRAIN))
    members: dict[str, list[str]] = defaultdict(list)
    for recording in grouped:
        members[recording.group].append(recording.speaker)
    held, wanted = set[str](), round(valid_utterances * len(members))
    for name in shuffled(members, seed):
        if len(held) < wanted and all(left[speaker] > 1 for speaker in members[name]):
            held.add(name)
            left.subtract(members[name])
    return [replace(r, split=VALID_UTTERANCES if r.group in held else TRAIN) for r in grouped]


def common_interval(wavs: Sequence[Wave], sample_rate: int) -> tuple[int, int]:
    """First sample, and the one after the last, of what no member's trimming would cut: -> (), ()."""
    bounds = np.array([trimmed_interval(wav, sample_rate) for wav in wavs])
    return int(bounds[:, 0].min()), min(int(bounds[:, 1].max()), *(len(wav) for wav in wavs))


def not_aligned(wavs: Sequence[Wave], spec: AudioSpec) -> dict[int, str]:
    """Members of a group that are not in step with the others, with the reason, by their place.

    Lengths that differ by more than a hop refuse the whole group. Then a member must change its level as the most
    typical one does: filters and voices leave the changes where they are, other words do not.

    Args:
        wavs: whole recordings, levelled; at least two.
        spec: the mel contract.
    """
    lengths = [len(wav) for wav in wavs]
    if max(lengths) - min(lengths) > spec.hop_length:
        apart = (max(lengths) - min(lengths)) / spec.hop_length
        reason = f"not aligned: the lengths of its group differ by {apart:.1f} frames, at most 1 is allowed"
        return dict.fromkeys(range(len(wavs)), reason)
    # Where all of them speak: silence before and after the words is alike whatever the words are.
    bounds = np.array([speech_bounds(wav, spec.sample_rate) for wav in wavs])
    first, last = int(bounds[:, 0].max()), int(bounds[:, 1].min())
    if spec.frames(last - first) < _FEWEST_FRAMES:
        first, last = 0, min(lengths)
    changes = np.stack([_level_changes(wav[first:last], spec.hop_length) for wav in wavs])
    changes -= changes.mean(axis=1, keepdims=True)
    changes /= np.linalg.norm(changes, axis=1, keepdims=True) + 1e-9  # of a constant level all are 0
    correlation = changes @ changes.T
    typical = int(correlation.sum(axis=0).argmax())
    odd = {
        place: f"not aligned: its level changes unlike that of its group (correlation {value:.2f}, at least "
        f"{LEAST_CORRELATION:g} is wanted): other words, or not in step"
        for place, value in enumerate(correlation[typical])
        if value < LEAST_CORRELATION and place != typical
    }
    if len(odd) == len(wavs) - 1:
        odd[typical] = "not aligned: no other recording of its group is in step with it"
    return odd


def _level_changes(wav: Wave, hop_length: int) -> NDArray[np.float64]:
    """Change of the smoothed level from frame to frame, dB: (N,) -> (T',)."""
    frames = wav[: len(wav) // hop_length * hop_length].reshape(-1, hop_length)
    level = 10 * np.log10(np.square(frames, dtype=np.float64).mean(axis=1) + 1e-12)
    level = np.maximum(level, np.quantile(level, _LOUD) - _DEPTH_DB)
    smooth = np.convolve(level, np.full(_STEP_FRAMES, 1 / _STEP_FRAMES), "valid")
    return np.clip(smooth[_STEP_FRAMES:] - smooth[:-_STEP_FRAMES], -_MOST_DB, _MOST_DB)
