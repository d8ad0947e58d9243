"""`voiceae evaluate`: score a model, or another system's output, on held-out speakers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from voiceae.commands import options
from voiceae.commands.options import counted_progress, require_files, write_text

EPILOG = """\b
Examples:
  voiceae evaluate --model base --corpus vctk/ --out report/ --n-pairs 100 --jobs 2
  voiceae evaluate --corpus speakers/ --kind folder --out report/ --scorers speaker,content
  voiceae evaluate --corpus vctk/ --pairs pairs.csv --root vctk/ --converted theirs/ --out report/
  voiceae evaluate --compare old/report.json new/report.json
  voiceae evaluate --corpus vctk/ --out report/ --tolerances tolerances.json

The scorers come with: pip install 'voiceae[eval]'. A file of tolerances is JSON; a
figure out of its range makes the exit code 1:

\b
  {"conversion.sim_target": [0.6, null], "differences.shuffled.cer_recogniser": [null, -0.15]}"""


@click.command("evaluate", epilog=EPILOG)
@options.voice()
@click.option(
    "--mode",
    default="full",
    metavar="full|chunked|streaming|streaming-warm",
    help="Convert whole recordings, in chunks as very long ones, or as a stream, cold or warm.",
)
@click.option("--corpus", type=options.PATH, metavar="DIR", help="Corpus of held-out speakers.")
@click.option("--kind", default="vctk", metavar="KIND", help="vctk, libritts, folder or csv.")
@click.option("--out", type=options.PATH, metavar="DIR", help="Folder of the report.")
@click.option("--n-pairs", default=100, type=click.IntRange(1), help="Pairs to draw.")
@options.seed
@click.option("--pairs", type=options.PATH, metavar="CSV", help="Use these pairs instead.")
@click.option("--root", type=options.PATH, metavar="DIR", help="Folder of the table's clips.")
@click.option("--converted", type=options.PATH, metavar="DIR", help="Score files made elsewhere.")
@click.option(
    "--scorers",
    default="speaker,dvector,content,mos,distilmos,pitch,mcd",
    metavar="LIST",
    show_default=True,
    help="Which scorers to use; pocketsphinx and whisper:MODEL recognise words too.",
)
@click.option(
    "--language",
    metavar="CODE",
    help="What is spoken; en for corpora with texts. Recognisers of English judge nothing else.",
)
@click.option("--jobs", default=1, type=click.IntRange(1), help="Processes that score.")
@click.option("--cache", type=options.PATH, metavar="DIR", help="Folder of earlier scores.")
@click.option("--no-cache", is_flag=True, help="Score everything anew.")
@options.force
@click.option(
    "--tolerances",
    type=options.PATH,
    metavar="JSON",
    help="Ranges that figures must keep; exit code 1 otherwise.",
)
@click.option("--compare", nargs=2, type=options.PATH, metavar="A B", help="Compare two report.json.")
def command(compare: tuple[Path, Path] | None, **given: Any) -> int:
    """Score a model on held-out speakers by models that this project did not train, and write a report."""
    if compare:
        return _compare(*compare)
    if given["corpus"] is None or given["out"] is None:
        raise click.UsageError("give --corpus and --out, or --compare A B")
    if given["converted"] is not None and given["pairs"] is None:
        raise click.UsageError("--converted needs --pairs, a table with the columns source, target and out")
    return _evaluate(**given)


def _evaluate(*, out: Path, tolerances: Path | None, force: bool, **given: Any) -> int:
    from voiceae.evaluation.report import departures, read_tolerances, write_report
    from voiceae.evaluation.reporting.markdown import markdown
    from voiceae.evaluation.reporting.summary import headlines, verdict

    require_files([out / f"report.{suffix}" for suffix in ("json", "md", "html")], force)
    limits = read_tolerances(tolerances) if tolerances else {}
    report, page = _report(**given)
    write_report(report, out / "report.json")
    write_text(out / "report.md", markdown(report))
    write_text(out / "report.html", page)
    click.echo(verdict(report))
    for figure, _, conversion, floor, ceiling in headlines(report).rows:
        between = f"; from {floor} to {ceiling}" if floor and ceiling else ""
        click.echo(f"  {figure}: {conversion}{between}")
    for line in _summed_up(each["reason"] for each in report["excluded"]):
        click.echo(f"voiceae: left out: {line}", err=True)
    click.echo(f"{out / 'report.html'}: {len(report['pairs'])} pairs, {len(report['excluded'])} exclusions")
    bad = list(departures(report, limits))
    for line in bad:
        click.echo(f"voiceae: error: {line}", err=True)
    return 1 if bad else 0


def _summed_up(reasons: Iterable[str]) -> Iterator[str]:
    """One line a reason, with whom it concerns: of "a: r" and "b: r", "a, b: r"."""
    concerned: dict[str, list[str]] = {}
    for who, _, why in (reason.partition(": ") for reason in dict.fromkeys(reasons)):
        concerned.setdefault(why, []).append(who)
    for why, names in concerned.items():
        most = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        yield f"{most}: {why}" if why else most


def _report(
    *,
    choice: options.VoiceChoice,
    mode: str,
    corpus: Path,
    kind: str,
    n_pairs: int,
    seed: int,
    pairs: Path | None,
    root: Path | None,
    converted: Path | None,
    scorers: str,
    language: str | None,
    jobs: int,
    cache: Path | None,
    no_cache: bool,
) -> tuple[dict[str, Any], str]:
    """Convert and score what the options say: the report, and its page."""
    from voiceae.errors import CorpusError
    from voiceae.evaluation.evaluation import Exclusion, Options, evaluate
    from voiceae.evaluation.pairs import draw_pairs, group_by_speaker, held_out_clips, read_pairs
    from voiceae.evaluation.report import make_report
    from voiceae.evaluation.reporting.page import page
    from voiceae.evaluation.reporting.summary import TRAINED_ON
    from voiceae.evaluation.scoring import default_cache
    from voiceae.evaluation.systems import load_files_system, load_model_system, seconds_by_stage
    from voiceae.evaluation.verification.embeddings import measure_embeddings
    from voiceae.pretrained.scorers import SPEAKER_ENCODERS, load_scorers

    names = tuple(name.strip() for name in scorers.split(",") if name.strip())
    for line in load_scorers(names).missing.values():
        click.echo(f"voiceae: {line}", err=True)
    voice, parts = None, vars(choice)
    if converted is not None:
        systems, about = load_files_system(converted, parts["vocoder"], parts["device"])
    else:
        systems, voice, about = load_model_system(**parts, mode=mode)
    trained_on = about.pop("trained_on", ())
    clips, left_out = held_out_clips(kind, corpus, trained_on)
    if language is None and (kind in ("vctk", "libritts") or any(clip.recording.text for clip in clips)):
        language = "en"
    folder = corpus if corpus.is_dir() else corpus.parent  # of a table of recordings
    bad: dict[str, str] = {}
    if pairs is None:
        drawn = draw_pairs(clips, n_pairs, seed)
    else:
        drawn, bad = read_pairs(pairs, root or folder, clips, converted, seed)
    speakers = group_by_speaker(clips)
    chosen = Options(
        scorers=names,
        language=language,
        seed=seed,
        jobs=jobs,
        cache=None if no_cache else cache or default_cache(),
    )
    evaluation = evaluate(drawn, speakers, systems, chosen, counted_progress)
    for note in evaluation.notes:
        click.echo(f"voiceae: {note}", err=True)
    evaluation.excluded.extend(Exclusion(name, reason) for name, reason in {**left_out, **bad}.items())
    about |= {"corpus": corpus.name, "speakers": len(speakers), "clips": len(clips)}
    about |= {TRAINED_ON: len(trained_on)} if trained_on else {}
    if voice is not None and mode == "full":
        scored = (pair for pair in drawn if pair.name in evaluation.values)
        about["seconds per second of audio"] = seconds_by_stage(voice, scored)
    embeddings: dict[str, Any] = {}
    beside = [name for name in SPEAKER_ENCODERS if name in names]
    if voice is not None and beside:
        # The same clips as those of natural speech, whose scores are kept.
        try:
            embeddings, unused = measure_embeddings(
                voice,
                speakers,
                encoders=beside,
                seed=seed,
                cache=chosen.cache,
                jobs=jobs,
                progress=counted_progress,
            )
        except CorpusError as error:  # pairs can be converted where trials cannot be had
            unused = [Exclusion("embeddings", str(error))]
        evaluation.excluded.extend(unused)
    report = make_report(evaluation, about=about, seed=seed, root=folder, embeddings=embeddings)
    return report, page(report, evaluation)


def _compare(first: Path, second: Path) -> int:
    from voiceae.evaluation.report import compare, incomparable, read_report

    reports = read_report(first), read_report(second)
    for line in incomparable(*reports).values():
        click.echo(f"voiceae: {line}", err=True)
    changes = compare(*reports)
    for change in sorted(changes, key=lambda each: not each.exceeds):
        sign = "exceeds" if change.exceeds else "within"
        paired = "paired" if change.paired else "unpaired"
        click.echo(
            f"{sign:8}{change.row:15}{change.figure:25}{change.before:9.4f} -> {change.after:9.4f}  "
            f"difference [{change.low:+.4f}, {change.high:+.4f}] {paired}"
        )
    exceeding = sum(change.exceeds for change in changes)
    click.echo(f"{exceeding} of {len(changes)} differences exceed their intervals")
    return 0
