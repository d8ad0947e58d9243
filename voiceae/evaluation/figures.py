"""What a report's figures and rows are called, how their numbers read, and what each stands between.

A figure of its own is one more line of `FIGURES`; the report, its page and its summary follow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of the report.

    Attributes:
        words: header of its column.
        meaning: one line that says what it is.
        table: title of the table that it is in.
        unit: written below the header; shares are kept as 0 to 1 and written in hundreds.
        digits: after the point.
        judge: network or program whose figure it is; "" where nobody's taste is in it.
        better: "up", "down", or "" where neither is.
        floor: row that shows what is there without a conversion; with a ceiling, the figure is in the chart.
        ceiling: row that no conversion is expected to pass.
        clause: what the verdict says of the conversion, `{}` standing for the number; "" for nothing.
        beside: what it adds of the ceiling, likewise.
    """

    words: str
    meaning: str
    table: str
    unit: str
    digits: int = 2
    judge: str = ""
    better: str = ""
    floor: str = ""
    ceiling: str = ""
    clause: str = ""
    beside: str = ""

    @property
    def charted(self) -> bool:
        """Whether it stands between a floor and a ceiling."""
        return bool(self.floor and self.ceiling)

    def number(self, value: float) -> str:
        """A value in the figure's unit, without the unit: .517 of a share -> "52"."""
        if not math.isfinite(value):
            return "–"
        return f"{value * (100 if self.unit.startswith('%') else 1):.{self.digits}f}"

    def text(self, value: float) -> str:
        """A value as a reader says it: "52 %", "0.68"."""
        return self.number(value) + (" %" if self.unit.startswith("%") and math.isfinite(value) else "")

    def of_one_pair(self, value: float) -> str:
        """The same of a single pair, of which a share can only be all or nothing."""
        if self.unit == PAIRS:
            return "yes" if value else "no"
        return self.text(value)

    def interval(self, values: Mapping[str, float] | None) -> str:
        """Mean and interval, "52 % (40 to 63)"; a dash where there is no number, no interval of one value."""
        if values is None or not math.isfinite(values["mean"]):
            return "–"
        low, high = (self.number(values[name]) for name in ("low", "high"))
        return self.text(values["mean"]) + (f" ({low} to {high})" if low != high else "")


PAIRS = "% of pairs"
"""Unit of shares that are one or nothing in a single pair."""

VOICE, SECOND_VOICE = "Voice", "Voice, by a second encoder"
WORDS, SECOND_WORDS = "Words", "Words, by other recognisers"
SOUND, MELODY = "Sound", "Melody and spectrum"

_VOICE = {
    "sim_target": Figure(
        words="likeness to the target",
        meaning="cosine with another clip of the target, which the model was not given",
        table=VOICE,
        judge="Resemblyzer",
        unit="cosine",
        better="up",
        floor="source",
        ceiling="target",
    ),
    "sim_reference": Figure(
        words="likeness to the clip heard",
        meaning="cosine with the very clip that the model was given",
        table=VOICE,
        judge="Resemblyzer",
        unit="cosine",
        better="up",
    ),
    "sim_source": Figure(
        words="likeness to the source's speaker",
        meaning="cosine with another clip of the source's speaker",
        table=VOICE,
        judge="Resemblyzer",
        unit="cosine",
        better="down",
    ),
    "sim_source_clip": Figure(
        words="likeness to the source clip",
        meaning="cosine with the very clip that was converted",
        table=VOICE,
        judge="Resemblyzer",
        unit="cosine",
        better="down",
    ),
    "nearer_target": Figure(
        words="nearer to the target",
        meaning="share of the pairs that are more like the target than like the source's speaker, each by "
        "another clip",
        table=VOICE,
        judge="Resemblyzer",
        unit=PAIRS,
        digits=0,
        better="up",
        clause="is nearer to the target than to the source in {} %",
    ),
    "nearer_target_than_clip": Figure(
        words="nearer to the target than to the source clip",
        meaning="share of the pairs that are more like the target than like the very clip that was converted",
        table=VOICE,
        judge="Resemblyzer",
        unit=PAIRS,
        digits=0,
        better="up",
    ),
    "accepted": Figure(
        words="passes for the target",
        meaning="share that a verifier takes for the target; on natural speech it is set to refuse as many "
        "of the right speaker as it takes of others",
        table=VOICE,
        judge="Resemblyzer",
        unit=PAIRS,
        digits=0,
        better="up",
        floor="source",
        ceiling="target",
        clause="passes for the target in {} %",
    ),
    "eer_target": Figure(
        words="errors in telling it from the target",
        meaning="equal error rate of telling the row from other clips of the target; 50 % cannot be told",
        table=VOICE,
        judge="Resemblyzer",
        unit="% errors",
        digits=1,
        better="up",
    ),
}

_WORDS = {
    "wer_recogniser": Figure(
        words="words heard wrong",
        meaning="word error rate against what the same recogniser hears in the source; words added count, "
        "so that it may pass 100",
        table=WORDS,
        judge="the recogniser",
        unit="% of words",
        digits=0,
        better="down",
        floor="shuffled",
        ceiling="copy",
        clause="has {} words in 100 heard wrong",
        beside=" ({} after the vocoder alone)",
    ),
    "cer_recogniser": Figure(
        words="characters heard wrong",
        meaning="character error rate against what the same recogniser hears in the source",
        table=WORDS,
        judge="the recogniser",
        unit="% of characters",
        digits=1,
        better="down",
    ),
    "wer_text": Figure(
        words="words wrong by the text",
        meaning="word error rate against the text that was read, where it is known",
        table=WORDS,
        judge="the recogniser",
        unit="% of words",
        digits=0,
        better="down",
    ),
    "cer_text": Figure(
        words="characters wrong by the text",
        meaning="character error rate against the text that was read, where it is known",
        table=WORDS,
        judge="the recogniser",
        unit="% of characters",
        digits=1,
        better="down",
    ),
}


def _by_another(figures: Mapping[str, Figure], end: str, judge: str, table: str) -> dict[str, Figure]:
    """The same figures by another judge: names with an end, marked in words, and nothing of them in the verdict."""
    return {
        f"{name}_{end}": replace(
            figure, words=f"{figure.words}, {judge}", table=table, judge=judge, clause=""
        )
        for name, figure in figures.items()
    }


FIGURES: dict[str, Figure] = {
    **_VOICE,
    **_by_another(_VOICE, "dvector", "d-vector", SECOND_VOICE),
    **_WORDS,
    **_by_another(_WORDS, "pocketsphinx", "PocketSphinx", SECOND_WORDS),
    **_by_another(_WORDS, "whisper", "Whisper", SECOND_WORDS),
    "ovrl": Figure(
        words="sound as a whole",
        meaning="OVRL: the overall grade that listeners are predicted to give",
        table=SOUND,
        judge="DNSMOS",
        unit="grade, 1 to 5",
        better="up",
        floor="transfer",
        ceiling="source",
        clause="is graded {} of 5 for its sound",
        beside=" (the recordings {})",
    ),
    "sig": Figure(
        words="sound of the speech",
        meaning="SIG: the predicted grade of the speech alone",
        table=SOUND,
        judge="DNSMOS",
        unit="grade, 1 to 5",
        better="up",
    ),
    "bak": Figure(
        words="freedom from noise",
        meaning="BAK: the predicted grade of the background",
        table=SOUND,
        judge="DNSMOS",
        unit="grade, 1 to 5",
        better="up",
    ),
    "distilmos": Figure(
        words="sound as a whole, DistilMOS",
        meaning="the overall grade that listeners are predicted to give",
        table=SOUND,
        judge="DistilMOS",
        unit="grade, 1 to 5",
        better="up",
        floor="transfer",
        ceiling="source",
    ),
    "f0_correlation": Figure(
        words="melody kept",
        meaning="correlation of log F0 with the source's, over frames voiced in both",
        table=MELODY,
        unit="correlation",
        better="up",
    ),
    "f0_offset_semitones": Figure(
        words="height of the voice off by",
        meaning="distance of the mean log F0 from that of another clip of the target",
        table=MELODY,
        unit="semitones",
        digits=1,
        better="down",
    ),
    "mcd_db": Figure(
        words="spectrum off by",
        meaning="mel-cepstral distortion from the target's own reading of the sentence, aligned in time",
        table=MELODY,
        unit="dB",
        digits=1,
        better="down",
    ),
}
"""Figures by their name in the report, in the order of tables and verdict."""
