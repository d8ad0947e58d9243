"""Reports of pairs whose figures are given, with sound to hear: no scorer is asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from voiceae.data.corpora import Recording
from voiceae.evaluation.evaluation import Evaluation, Values
from voiceae.evaluation.pairs import Clip, Pair
from voiceae.evaluation.report import Report, make_report
from voiceae.evaluation.scoring import ScoringJob

RATE = 16000

UNLIKE, LIKE = {"sim_target": 0.5, "accepted": 0.0}, {"sim_target": 0.9, "accepted": 1.0}


def rows(likeness: float, words: float, sound: float) -> Values:
    """Figures of a pair between likeness .5 and .9, word errors of 1 and .2, and grades of 2 and 4."""
    nearer = {"nearer_target": float(likeness > 0.6), "accepted": float(likeness > 0.69)}
    return {
        "source": {**UNLIKE, "ovrl": 4.0},
        "target": {**LIKE},
        "copy": {"wer_recogniser": 0.2},
        "transfer": {"ovrl": 2.0},
        "conversion": {"sim_target": likeness, "wer_recogniser": words, "ovrl": sound, **nearer},
        "shuffled": {"wer_recogniser": 1.0},
    }


def clip(folder: Path, speaker: str, name: str) -> Clip:
    """A short tone in a file."""
    path = folder / speaker / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.sin(np.arange(RATE // 4) / 9), RATE, format="WAV")
    return Clip(Recording(path=path, speaker=speaker, utterance=Path(name).stem), 0.25)


def evaluated(
    folder: Path, values: Mapping[str, Values], name: str = "1.wav", **more: Any
) -> tuple[Report, Evaluation]:
    """A report of pairs by their names, and its evaluation.

    Args:
        folder: of the sound files.
        values: figures by pair and row.
        name: of the source's file.
        more: fields of the evaluation; `about`, what the report says of it.
    """
    about = more.pop("about", {"model": "tested", "corpus": "tones"})
    source, other = clip(folder, "anna", name), clip(folder, "anna", "2.wav")
    given, scored = clip(folder, "bert", "1.wav"), clip(folder, "bert", "2.wav")
    pairs = [
        Pair(
            name=pair,
            source=source,
            references=(given,),
            scored=scored,
            natural=None,
            source_other=other,
            source_reference=None,
        )
        for pair in values
    ]
    sound = ScoringJob.from_audio(source.path, ())
    waves = {f"{pair}/conversion": sound for pair, figures in values.items() if "conversion" in figures}
    given_fields: dict[str, Any] = {"natural": {}, "excluded": [], "versions": {}, "missing": {}, **more}
    evaluation = Evaluation(pairs=pairs, values=dict(values), waves=waves, **given_fields)
    return make_report(evaluation, about=about, seed=0, root=folder), evaluation


def ten_pairs() -> dict[str, Values]:
    """Pair p0 is the best in everything, p9 the worst; each step is the same."""
    return {f"p{i}": rows(0.82 - 0.03 * i, 0.2 + 0.05 * i, 3.9 - 0.1 * i) for i in range(10)}
