"""Small versions of `recipes/hardening`: the same programs, a few inputs each; and that they find what is planted."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from recipes.hardening import fuzz, kill_and_resume

ROOT = Path(__file__).resolve().parents[2]


def hardening(program: str, *arguments: str | Path) -> int:
    command = [sys.executable, str(ROOT / "recipes/hardening" / program), *map(str, arguments)]
    return subprocess.run(command, check=False).returncode


def test_malformed_inputs_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    code = hardening("fuzz.py", "--count", 600, "--seed", 1, "--out", tmp_path)
    report = json.loads((tmp_path / "fuzz.json").read_text())
    assert report["failed"] == []
    assert code == 0
    assert sum(report["totals"].values()) == report["inputs"] == 600
    # A fuzzer that spoils nothing, or everything, would find nothing.
    assert report["totals"]["refused"] > 200 and report["totals"]["read"] > 50


def test_the_fuzzer_tells_every_kind_of_failure(tmp_path: Path) -> None:
    from voiceae.errors import AudioError

    sample = fuzz.Sample("flac", b"", samples=1000, sample_rate=1000)
    path = tmp_path / "input.mp3"

    def refuses(message: str) -> fuzz.Reader:
        def read(path: Path) -> int:
            raise AudioError(message)

        return read

    def warns(message: str) -> fuzz.Reader:
        def read(path: Path) -> int:
            warnings.warn(message, UserWarning, stacklevel=2)
            return 900

        return read

    def breaks(path: Path) -> int:
        raise ZeroDivisionError

    for read, verdict in (
        (refuses("a.flac: is damaged"), "refused"),
        (refuses(""), "line"),
        (warns("a.flac: is\ndamaged"), "line"),
        (warns("a.flac: \x1b[2J"), "line"),
        (warns("a.flac: is damaged"), "warned"),
        (breaks, "traceback"),
        (lambda path: 900, "lost"),
        (lambda path: 990, "read"),
    ):
        assert fuzz.attempt(read, path, sample, "cut")[0] == verdict
    for kind, what, content, verdict in (
        ("wav", "flip", b"", "read"),
        ("wav", "cut", b"", "lost"),
        ("mp3", "drop", b"..Xing..", "lost"),
        ("mp3", "drop", b"........", "read"),
    ):
        path.write_bytes(content)
        assert fuzz.attempt(lambda _: 900, path, fuzz.Sample(kind, b"", 1000, 1000), what)[0] == verdict


def test_killed_commands_end_as_if_they_had_not_been(tmp_path: Path) -> None:
    assert hardening("kill_and_resume.py", "prepare", "convert", "--count", 1, "--out", tmp_path) == 0
    report = json.loads((tmp_path / "kill_and_resume.json").read_text())
    for name in ("prepare", "convert"):
        assert report[name]["kills"] >= 1 and report[name]["finished"] >= 1
        assert report[name]["failures"] == []


def test_a_difference_after_a_kill_is_told(tmp_path: Path) -> None:
    job = kill_and_resume.Job("convert", [], tmp_path, kill_and_resume.bytes_digest)
    (tmp_path / "a.wav").write_bytes(b"whole")
    (tmp_path / "b.wav").write_bytes(b"whole")
    wanted = kill_and_resume.digests(job)
    (tmp_path / "a.wav").write_bytes(b"half")
    (tmp_path / "b.wav").unlink()
    (tmp_path / ".c.part").touch()
    tally = kill_and_resume.Tally()
    kill_and_resume.compare(job, wanted, tally, finished=False)
    kill_and_resume.compare(job, wanted, tally, finished=True)
    assert [failure.split(":")[0] for failure in tally.failures] == [
        "half",
        "different",
        "leftover",
        "different",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_closed_places_end_in_one_line(tmp_path: Path) -> None:
    code = hardening("permissions.py", "--out", tmp_path, "--every", 6)
    report = json.loads((tmp_path / "permissions.json").read_text())
    assert report["wrong"] == {} and report["cases"] >= 6
    assert code == 0
