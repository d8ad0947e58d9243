"""A bank of enrolled speakers: the profiles of their clips, under names that work as targets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from voiceae.conversion.embedding_files import EmbeddingTable, is_stored
from voiceae.conversion.speaker_profile import SpeakerProfile
from voiceae.conversion.voice import Voice
from voiceae.errors import EmbeddingError, did_you_mean
from voiceae.io.filesystem import exists, is_file, user_folder
from voiceae.io.folders import READABLE
from voiceae.io.locks import locked
from voiceae.latent.plotting import similarity_matrix

VARIABLE = "VOICEAE_BANK"
_WAIT_SECONDS = 600.0  # for another to write it, which takes moments; on a stuck disk, longer


@dataclass(frozen=True)
class Enrolled:
    """How an enrolled speaker compares with itself and with the others.

    Attributes:
        name: of the speaker.
        clips: how many are enrolled.
        agreement: mean cosine between the clips, None for a single one.
        nearest: the most similar other speaker, empty where there is none.
        similarity: mean cosine between the two speakers' clips.
    """

    name: str
    clips: int
    agreement: float | None
    nearest: str
    similarity: float | None


@dataclass
class SpeakerBank:
    """Speakers by name, each with the profile of every clip of it.

    Attributes:
        path: its file, a table as `voiceae embed` writes it.
        model: fingerprint of the model that made the profiles.
        voices: by name and by path of the clip.
    """

    path: Path
    model: str
    voices: dict[str, dict[str, SpeakerProfile]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, model: str, *, must_exist: bool = False) -> SpeakerBank:
        """Read a bank; one that does not exist yet is empty.

        Args:
            path: of the bank.
            model: fingerprint of the model that the bank is used with.
            must_exist: refuse a missing file.

        Raises:
            EmbeddingError: when the file is damaged, of another model, or missing where it must not be.
        """
        if not exists(path):
            if must_exist:
                raise EmbeddingError(f"{path}: no such bank; make one with voiceae speakers add")
            return cls(path, model)
        table = EmbeddingTable.read(path, model)
        bank = cls(path, model)
        for row, (name, clip) in enumerate(zip(table.speakers, table.paths, strict=True)):
            bank.voices.setdefault(name, {})[clip] = table.profile(row)
        return bank

    @classmethod
    @contextmanager
    def changing(cls, path: Path, model: str, *, must_exist: bool = False) -> Iterator[SpeakerBank]:
        """Open the bank under a lock and save it when the block succeeds; others who change it wait meanwhile.

        Args:
            path: as for `open`, likewise the others.
            model: fingerprint of the model that the bank is used with.
            must_exist: refuse a missing file.

        Raises:
            EmbeddingError: as `open`.
            OutputError: when it cannot be written.
        """
        with locked(path, "try again when that has ended", _WAIT_SECONDS):
            bank = cls.open(path, model, must_exist=must_exist)
            yield bank
            bank.save()

    def add(self, name: str, clips: Mapping[str, SpeakerProfile]) -> None:
        """Add clips to a speaker, new or known; a clip that is known already is replaced.

        Raises:
            EmbeddingError: for a name that cannot be one, or a clip of another speaker.
        """
        require_name(name)
        for clip in clips:
            owner = next((other for other, known in self.voices.items() if clip in known), name)
            if owner != name:
                raise EmbeddingError(f"{clip}: is a clip of {owner} already; a clip belongs to one speaker")
        self.voices.setdefault(name, {}).update(clips)

    def remove(self, name: str) -> None:
        """Remove a speaker with all clips.

        Raises:
            EmbeddingError: for an unknown name.
        """
        self._require(name)
        del self.voices[name]

    def profile(self, name: str) -> SpeakerProfile:
        """The voice of a speaker, as though its clips had been given as targets.

        Raises:
            EmbeddingError: for an unknown name.
        """
        self._require(name)
        return SpeakerProfile.mean([clip for _, clip in sorted(self.voices[name].items())])

    def table(self, names: Iterable[str] = ()) -> EmbeddingTable:
        """Some speakers or all as a table, which can be written, compared and drawn.

        Raises:
            EmbeddingError: for an unknown name, or a bank without speakers.
        """
        chosen = list(names) or list(self.voices)
        for name in chosen:
            self._require(name)
        if not chosen:
            raise EmbeddingError(f"{self.path}: holds no speakers; add some with voiceae speakers add")
        clips = {clip: profile for name in chosen for clip, profile in self.voices[name].items()}
        owners = {clip: name for name in chosen for clip in self.voices[name]}
        return EmbeddingTable.from_profiles(clips, owners, self.model)

    def save(self) -> None:
        """Write the bank, or take its file away when nobody is left in it.

        Raises:
            OutputError: when it cannot be written.
        """
        if self.voices:
            self.table().save(self.path, force=True)
        else:
            self.path.unlink(missing_ok=True)

    def standings(self) -> list[Enrolled]:
        """Similarity of every enrolled speaker to itself and to the nearest other, by name."""
        if not self.voices:
            return []
        table = self.table()
        found = []
        for row, cosines in enumerate(similarity_matrix(table)):
            others = cosines.copy()
            others[row] = -np.inf
            near = int(others.argmax()) if len(others) > 1 else None
            name, nearest = table.speaker_names[row], "" if near is None else table.speaker_names[near]
            agreement = None if np.isnan(cosines[row]) else float(cosines[row])
            similarity = None if near is None else float(cosines[near])
            found.append(Enrolled(name, len(self.voices[name]), agreement, nearest, similarity))
        return found

    def _require(self, name: str) -> None:
        if name not in self.voices:
            raise EmbeddingError(
                f"{name}: no such speaker in the bank {self.path}; {did_you_mean(name, self.voices)}"
            )


def require_name(name: str) -> None:
    """Refuse names that could be taken for a path, or for the syntax of targets and tables.

    Raises:
        EmbeddingError: for an empty name, or one with signs that have a meaning elsewhere.
    """
    if not name.strip() or name != name.strip() or set(name) & set('/\\:;,"') or not name.isprintable():
        raise EmbeddingError(f"{name!r}: cannot name a speaker; use words without / \\ : ; , or quotes")
    if Path(name).suffix.lower() in READABLE:
        raise EmbeddingError(f"{name!r}: looks like a recording; a speaker needs a name of its own")


def default_bank(model: str) -> Path:
    """`$VOICEAE_BANK`, or a file for each model in `$XDG_DATA_HOME/voiceae/speakers`.

    Args:
        model: fingerprint of the model.

    Raises:
        ConfigError: for a user without a home folder, where no variable says another place.
    """
    own = os.environ.get(VARIABLE)
    if own:
        return Path(own)
    return user_folder("XDG_DATA_HOME", ".local", "share") / "voiceae" / "speakers" / f"{model}.npz"


def profile_of_target(voice: Voice, target: str, bank: Path | None = None) -> SpeakerProfile:
    """Speaker profile of a target given by name, to be used for any number of sources.

    Args:
        voice: the model.
        target: a recording, a stored embedding (`FILE.npz:NAME`) or a speaker of the bank; a file goes first.
        bank: its file; `default_bank` by default.

    Raises:
        AudioError: for audio that is missing, damaged, silent or shorter than 0.5 s.
        EmbeddingError: for a stored embedding that cannot be used, or a name that the bank does not know.
    """
    if is_stored(target) or is_file(target):
        return voice.profile(target)
    model = voice.fingerprint
    known = SpeakerBank.open(bank or default_bank(model), model, must_exist=bool(bank))
    if target in known.voices:
        return known.profile(target)
    if set(target) & set("/\\") or Path(target).suffix.lower() in READABLE:
        return voice.profile(target)
    raise EmbeddingError(
        f"{target}: no such file, and no such speaker in the bank {known.path}; {did_you_mean(target, known.voices)}"
    )
