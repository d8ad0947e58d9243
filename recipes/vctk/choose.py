"""What the later stages listen to, drawn from a feature store: pairs to convert, clips of every speaker."""

from __future__ import annotations

import argparse
import csv
import random
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voiceae.data.store import FeatureStore, Utterance

COLUMNS = ("source", "target", "out", "source_speaker", "target_speaker", "direction", "text")


def main() -> None:
    """Write `--pairs` or `--clips`; a bad input is one line and exit code 1."""
    from voiceae import VoiceAEError
    from voiceae.data.store import FeatureStore
    from voiceae.io.filesystem import atomic_path

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument(
        "--pairs", type=Path, help="table for `voiceae convert --pairs`; paths are relative to the corpus"
    )
    parser.add_argument("--clips", type=Path, help="list of audio files, one a line")
    parser.add_argument(
        "--count", type=int, default=20, help="pairs in each direction, or clips of each speaker"
    )
    parser.add_argument(
        "--targets", type=int, default=3, help="recordings of the target that a pair averages"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    try:
        store = FeatureStore.open(options.store)
        if options.pairs:
            rows = list(pairs(store, rng, options.count, options.targets))
            with atomic_path(options.pairs) as path, path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([COLUMNS, *rows])
        if options.clips:
            with atomic_path(options.clips) as path:
                path.write_text(
                    "".join(f"{clip}\n" for clip in clips(store, rng, options.count)), encoding="utf-8"
                )
    except VoiceAEError as error:
        sys.exit(f"vctk: error: {error}")


def pairs(store: FeatureStore, rng: random.Random, count: int, targets: int) -> Iterator[Sequence[str]]:
    """Held-out sources of one sex for held-out targets of the other, both ways, speakers taking turns.

    Raises:
        CorpusError: when one of the sexes has no held-out utterance.
    """
    from voiceae.errors import CorpusError

    voices = {sex: held_out(store, sex) for sex in "FM"}
    absent = [sex for sex, speakers in voices.items() if not speakers]
    if absent:
        raise CorpusError(f"{store.path}: no held-out speech of sex {absent[0]}; is speaker-info.txt there?")
    for here, there in ("FM", "MF"):
        for number in range(count):
            said = turn(voices[here], number, rng)[0]
            # Shifted by a turn each round, so that the same two speakers do not always meet.
            shuffled = turn(voices[there], number + number // len(voices[there]), rng)
            # Two more are left for the scorers to compare with.
            heard = shuffled[: max(1, min(targets, len(shuffled) - 2))]
            out = f"{number:03d}-{said.speaker}-{said.utterance}-as-{heard[0].speaker}.wav"
            target = ";".join(one.path for one in heard)
            yield said.path, target, out, said.speaker, heard[0].speaker, f"{here}-{there}", said.text


def held_out(store: FeatureStore, sex: str) -> list[list[Utterance]]:
    """Utterances of one sex by speaker: of held-out speakers, or else held out of those seen in training."""
    for split in ("valid_speakers", "valid_utterances"):
        found = by_speaker([one for one in store.split(split) if one.gender == sex])
        if found:
            return found
    return []


def turn(speakers: list[list[Utterance]], number: int, rng: random.Random) -> list[Utterance]:
    """The utterances of the speaker whose turn it is, shuffled."""
    own = speakers[number % len(speakers)]
    return rng.sample(own, len(own))


def clips(store: FeatureStore, rng: random.Random, count: int) -> Iterator[Path]:
    """Some recordings of every speaker, of whatever split."""
    for own in by_speaker(store.utterances):
        yield from (store.audio_path(one.index) for one in rng.sample(own, min(count, len(own))))


def by_speaker(utterances: Sequence[Utterance]) -> list[list[Utterance]]:
    """Utterances grouped by speaker, speakers sorted."""
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        groups[utterance.speaker].append(utterance)
    return [groups[name] for name in sorted(groups)]


if __name__ == "__main__":
    main()
