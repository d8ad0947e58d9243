"""Aligned groups: formed by name, checked by their levels, trimmed by one interval and split whole."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from tests.data.folders import contents
from voiceae import cli
from voiceae.data.aligned import list_corpora, not_aligned, split_groups
from voiceae.data.corpora import VALID_UTTERANCES, Recording
from voiceae.data.crops import CropSampler
from voiceae.data.prepare import prepare
from voiceae.data.store import FeatureStore, PrepareOptions
from voiceae.data.waves import WaveCropSampler, add_waves, wave_path
from voiceae.dsp.mel import LogMel
from voiceae.dsp.yin import yin
from voiceae.errors import CorpusError
from voiceae.specs import AudioSpec

RATE, SPEC = 22050, AudioSpec()
Signal = NDArray[np.float64]


def sentence(seed: int, seconds: float = 1.6) -> Signal:
    """Syllables of buzz and hiss, of random lengths and levels, between silences: (N,)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * 130 * k * time + k * k) / k for k in range(1, 60))
    carrier = buzz + 0.3 * rng.standard_normal(len(time))
    corners = np.cumsum(rng.uniform(0.05, 0.16, 40))
    level = np.interp(time, corners, rng.uniform(-30, 0, 40))
    loud = 0.1 * carrier * 10 ** (level / 20)
    edges = [np.zeros(round(0.4 * RATE)), loud, np.zeros(round(0.3 * RATE))]
    return np.concatenate(edges) + 1e-5 * rng.standard_normal(
        round(0.4 * RATE) + len(loud) + round(0.3 * RATE)
    )


def voice(signal: Signal, low: float, high: float, gain_db: float, quiet_start: bool = False) -> Signal:
    """The same words through another filter, at another level: (N,) -> (N,)."""
    wav = sosfilt(butter(1, [low, high], "band", fs=RATE, output="sos"), signal) * 10 ** (gain_db / 20)
    if quiet_start:
        wav[: round(0.65 * RATE)] *= 10 ** (-45 / 20)
    return np.asarray(wav)


VOICES = {
    "ann": (100.0, 9000.0, 0.0, False),
    "bob": (300.0, 6000.0, -15.0, False),
    "cid": (80.0, 4000.0, 4.0, True),
}


def write(root: Path, speaker: str, name: str, wav: Signal) -> None:
    path = root / speaker / f"{name}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wav, RATE, subtype="FLOAT")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus of two real speakers, and six sentences in three voices each."""
    root = tmp_path_factory.mktemp("aligned")
    for number in range(4):
        write(root / "real", f"r{number % 2}", f"{number // 2:02d}", sentence(100 + number))
    for number in range(6):
        for name, (low, high, gain_db, quiet) in VOICES.items():
            write(root / "made", name, f"{number:02d}", voice(sentence(number), low, high, gain_db, quiet))
    return root / "real", root / "made"


@pytest.fixture(scope="module")
def store(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    out = tmp_path_factory.mktemp("store") / "s"
    prepare("folder", folders[0], out, aligned=[folders[1]], options=PrepareOptions(valid_speakers=0), jobs=1)
    add_waves(FeatureStore.open(out))
    return FeatureStore.open(out)


def groups_of(store: FeatureStore) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for each in store.utterances:
        if each.group:
            found.setdefault(each.group, []).append(each.index)
    return found


def lag(one: NDArray[np.float16], other: NDArray[np.float16]) -> int:
    """Frames by which the changes of level of one mel come after those of another: (T, M), (T, M) -> ()."""
    a, b = (np.diff(mel[:, 10:40].astype(float).mean(1)).clip(-0.4, 0.4) for mel in (one, other))
    return int(np.correlate(a - a.mean(), b - b.mean(), "full").argmax()) - (len(b) - 1)


def test_filtered_copies_of_a_signal_stay_in_step(store: FeatureStore, folders: tuple[Path, Path]) -> None:
    found = groups_of(store)
    assert sorted(found) == [f"{number:02d}" for number in range(6)] and all(
        len(m) == 3 for m in found.values()
    )
    for members in found.values():
        rows = [store.utterances[index] for index in members]
        assert sorted(row.speaker for row in rows) == ["ann", "bob", "cid"]
        assert len({(row.frames, row.first_sample, row.split) for row in rows}) == 1
        assert rows[0].first_sample == pytest.approx((0.4 - 0.1) * RATE, abs=0.05 * RATE), "none is cut"
        assert [lag(store.mel(members[0]), store.mel(index)) for index in members] == [0, 0, 0]
    # Trimmed alone, the one that begins quietly would be out of step: the test would see it.
    alone = folders[1].parent / "alone"
    prepare("folder", folders[1], alone, jobs=1)
    lost = FeatureStore.open(alone)
    rows = {row.speaker: row for row in lost.utterances if row.utterance == "00"}
    assert rows["cid"].first_sample > rows["ann"].first_sample + 5 * SPEC.hop_length
    assert lag(lost.mel(rows["ann"].index), lost.mel(rows["cid"].index)) != 0 and not rows["ann"].group


def test_real_recordings_keep_their_own_trim_and_the_waves_are_those_of_the_mels(store: FeatureStore) -> None:
    assert [row.group for row in store.utterances[:4]] == [""] * 4
    shape = {"batch_size": 16, "crop_frames": 24, "reference_frames": 16, "seed": 0}
    batch = WaveCropSampler(store, "train", **shape, aligned_share=0.6).batch(0)
    apart = ((LogMel(SPEC)(batch.wav) - batch.mel) * batch.mask[:, None])[:, 4:40, 3:-3].abs()
    assert bool(batch.aligned.any()) and float(apart.median()) < 0.02 and float(apart.mean(1).max()) < 0.5


def test_other_words_and_other_lengths_are_left_out_and_listed(tmp_path: Path) -> None:
    for number in range(3):
        for name, changes in VOICES.items():
            write(tmp_path / "made", name, f"{number}", voice(sentence(number), *changes))
    write(tmp_path / "made", "dan", "0", sentence(77))  # other words of equal length
    write(tmp_path / "made", "dan", "1", np.roll(sentence(1), 5 * SPEC.hop_length))  # out of step
    write(tmp_path / "made", "dan", "2", np.append(sentence(2), np.zeros(SPEC.hop_length + 1)))  # longer
    write(tmp_path / "made", "eve", "alone", sentence(5))
    write(tmp_path / "made", "fay", "3", sentence(8))
    write(tmp_path / "made", "gus", "3", sentence(9))  # a group of which nothing is left
    with pytest.warns(UserWarning, match="a sentence that no other speaker has"):
        made = prepare("folder", [], tmp_path / "s", aligned=[tmp_path / "made"], jobs=1)
    opened = FeatureStore.open(tmp_path / "s")
    kept = {
        name: sorted(opened.utterances[i].speaker for i in places)
        for name, places in groups_of(opened).items()
    }
    assert kept == {"0": ["ann", "bob", "cid"], "1": ["ann", "bob", "cid"]}
    with (tmp_path / "s/report.csv").open() as file:
        report = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert made.skipped == 8
    assert {path for path, said in report.items() if "lengths of its group differ by 1.0 frames" in said} == {
        f"{name}/2.wav" for name in (*VOICES, "dan")
    }
    for path in ("dan/0.wav", "dan/1.wav"):
        assert re.search(
            r"its level changes unlike .*\(correlation -?0\.\d\d, at least 0\.6 is wanted\)", report[path]
        )
    assert "no other recording of its group is in step" in report["fay/3.wav"] + report["gus/3.wav"]
    assert report["eve/alone.wav"] == "not used: a sentence that no other speaker has"
    assert "dan" not in {row.speaker for row in opened.utterances}


def test_equal_names_mean_nothing_without_the_option(folders: tuple[Path, Path], tmp_path: Path) -> None:
    prepare("folder", list(folders), tmp_path / "s", jobs=1)
    assert not groups_of(FeatureStore.open(tmp_path / "s"))


def test_the_check_alone() -> None:
    same = [voice(sentence(3), *changes).astype(np.float32) for changes in VOICES.values()]
    other = sentence(4).astype(np.float32)
    assert not_aligned(same, SPEC) == {}
    assert list(not_aligned([*same, other], SPEC)) == [3]
    assert list(not_aligned([same[0], other], SPEC)) == [1, 0] or list(
        not_aligned([same[0], other], SPEC)
    ) == [0, 1]
    assert list(not_aligned([same[0], np.zeros_like(same[0])], SPEC)) in ([0, 1], [1, 0])
    one_hop = np.append(same[1], np.zeros(SPEC.hop_length, np.float32))
    assert not_aligned([same[0], one_hop], SPEC) == {}
    assert len(not_aligned([same[0], np.append(one_hop, np.float32(0))], SPEC)) == 2


def test_a_group_is_held_out_whole_and_its_speakers_go_on_training() -> None:
    grouped = [
        Recording(path=Path(f"{speaker}/{number}"), speaker=speaker, utterance=str(number), group=str(number))
        for number in range(20)
        for speaker in ("a", "b", f"only{number % 4}", *(["once"] if number == 7 else []))
    ]
    split = split_groups(grouped, [], valid_utterances=0.5, seed=1)
    by_group = {name: {r.split for r in split if r.group == name} for name in map(str, range(20))}
    assert all(len(splits) == 1 for splits in by_group.values())
    held = {name for name, splits in by_group.items() if splits == {VALID_UTTERANCES}}
    assert len(held) == 10 and "7" not in held
    assert {r.speaker for r in split} == {r.speaker for r in split if r.split == "train"}
    other = Recording(path=Path("a/x"), speaker="a", utterance="x", split="valid_speakers")
    with pytest.raises(CorpusError, match="a: is a held-out speaker of the corpus, and one of the aligned"):
        split_groups(grouped, [other], valid_utterances=0.5, seed=1)


def test_speakers_of_groups_are_not_held_out(folders: tuple[Path, Path], tmp_path: Path) -> None:
    options = PrepareOptions(valid_speakers=2, valid_utterances=0.4)
    prepare("folder", folders[0], tmp_path / "s", aligned=[folders[1]], options=options, jobs=1)
    opened = FeatureStore.open(tmp_path / "s")
    assert {u.speaker for u in opened.split("valid_speakers")} == {"r0", "r1"}
    assert {u.speaker for u in opened.split("valid_utterances")} == set(VOICES) == set(opened.speakers)
    with pytest.raises(CorpusError, match="all recordings are aligned; give a corpus"):
        prepare("folder", [], tmp_path / "t", aligned=[folders[1]], options=options, jobs=1)


def test_folders_without_common_sentences_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write(tmp_path / "made", "a", "1", sentence(1))
    write(tmp_path / "made", "b", "2", sentence(2))
    with pytest.raises(CorpusError, match="--aligned: no sentence of two speakers was found"):
        list_corpora("folder", [folders[0]], [tmp_path / "made"], mic="mic1", unused=[])


def test_killed_between_shards_it_makes_the_same_bytes(
    folders: tuple[Path, Path], store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import voiceae.data.prepare as module

    monkeypatch.setattr(module, "_SHARD_UTTERANCES", 5)
    options = PrepareOptions(valid_speakers=0)

    def make(out: Path) -> None:
        prepare("folder", folders[0], out, aligned=[folders[1]], options=options, jobs=1)

    make(tmp_path / "whole")
    shards = FeatureStore.open(tmp_path / "whole")
    parts = [{u.shard for u in shards.utterances if u.group == name} for name in groups_of(shards)]
    assert all(len(part) == 1 for part in parts) and len(set.union(*parts)) > 2, "a group is never parted"
    build, done = module.build_shard, []

    def dying(job: object) -> object:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(build(job))  # type: ignore[arg-type]
        return done[-1]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "build_shard", dying)
        make(tmp_path / "cut")
    assert len(list(tmp_path.glob("cut/records/*.json"))) == 2
    make(tmp_path / "cut")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_the_command_takes_aligned_folders(folders: tuple[Path, Path], tmp_path: Path) -> None:
    def invoke(*arguments: object) -> str:
        given = ["prepare", "folder", *map(str, arguments), "--jobs", "1", "--no-progress"]
        return CliRunner().invoke(cli.voiceae, given, catch_exceptions=False).output

    said = invoke("--aligned", folders[1], "--out", tmp_path / "s")
    assert "18 utterances of 3 speakers" in said
    assert invoke("--aligned", folders[1], "--out", tmp_path / "s") == said
    assert "Missing argument 'CORPUS'" in invoke("--out", tmp_path / "t")


def recognise(mel: torch.Tensor, store: FeatureStore, index: int, offset: int) -> bool:
    frames = torch.from_numpy(store.mel(index)[offset : offset + mel.shape[1]].astype(np.float32)).T
    return torch.equal(mel[:, : frames.shape[1]], frames)


@pytest.mark.parametrize("resident", [True, False])
def test_source_and_target_are_the_same_frames_of_two_members(store: FeatureStore, resident: bool) -> None:
    crops = CropSampler(
        store,
        "train",
        batch_size=64,
        crop_frames=32,
        reference_frames=24,
        seed=3,
        resident=resident,
        aligned_share=0.5,
    )
    batch = crops.batch(1)
    assert 0.3 < float(batch.aligned.float().mean()) < 0.7 and batch.source is not None
    for item in range(64):
        row = store.utterances[int(batch.index[item])]
        assert bool(batch.aligned[item]) == bool(row.group), "the others are real recordings"
        assert crops.speakers[int(batch.speaker[item])] == row.speaker
        offset = next(t for t in range(row.frames) if recognise(batch.mel[item], store, row.index, t))
        group = [u for u in store.utterances if u.group == row.group and u.speaker != row.speaker]
        if row.group:
            theirs = [u for u in group if recognise(batch.source[item], store, u.index, offset)]
            assert len(theirs) == 1
            sentences = [u for u in store.utterances if u.speaker == row.speaker and u.group != row.group]
            spoken = batch.reference[item][:, :24]
            assert any(recognise(spoken, store, u.index, t) for u in sentences for t in range(u.frames - 23))
        else:
            assert torch.equal(batch.source[item], batch.mel[item])


def test_a_table_and_aligned_folders_make_one_store(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write(tmp_path / "table", "clips", "x", sentence(50))
    (tmp_path / "table/t.csv").write_text("path,speaker,split\nclips/x.wav,ann,train\n")
    prepare("csv", tmp_path / "table/t.csv", tmp_path / "s", aligned=[folders[1]], jobs=1)
    opened = FeatureStore.open(tmp_path / "s")
    assert all(opened.audio_path(u.index).is_file() for u in opened.utterances)
    assert [(u.speaker, u.path) for u in opened.utterances if not u.group] == [("ann", "clips/x.wav")]
    assert len(groups_of(opened)) == 6


def test_true_renderings_are_taken_and_have_one_melody(parallel: Path, tmp_path: Path) -> None:
    """The frames of a pair that are voiced in both have the same fundamental, within 3 %."""
    for number in range(4):
        for path in parallel.glob(f"aligned/*/{number:04d}.opus"):
            place = tmp_path / "made" / path.parent.name / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    made = prepare("folder", [], tmp_path / "s", aligned=[tmp_path / "made"], jobs=1)
    assert made.skipped == 0
    opened, apart = FeatureStore.open(tmp_path / "s"), []
    add_waves(opened)
    samples = torch.from_numpy(np.load(wave_path(tmp_path / "s", 0)) / np.float32(32767))
    for members in groups_of(opened).values():
        rows = [opened.utterances[index] for index in members]
        wavs = [samples[SPEC.samples(row.start) :][: SPEC.samples(row.frames)] for row in rows]
        f0, aperiodicity = yin(torch.stack(wavs), SPEC)
        for other in range(1, len(rows)):
            voiced = (aperiodicity[[0, other]] < 0.15).all(0)
            assert int(voiced.sum()) > 10
            apart.append(float((f0[other] / f0[0])[voiced].log().abs().median()))
    assert len(apart) == 8 and max(apart) < 0.03
