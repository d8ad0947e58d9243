from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from voiceae.errors import OutputError
from voiceae.files import atomic_path, require_new


def test_appears_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "ä b.wav"
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
        assert temporary.suffix == ".wav" and temporary.parent == target.parent and not target.exists()
    assert target.read_text() == "whole" and os.listdir(target.parent) == ["ä b.wav"]


def test_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("precious")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "precious" and os.listdir(tmp_path) == ["a.txt"]


def test_permissions_are_the_usual_ones(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"), atomic_path(tmp_path / "file" / "a.txt"):
        pass


FULL = """
import resource, signal, sys
from voiceae.errors import OutputError
from voiceae.files import atomic_path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with atomic_path(sys.argv[1]) as temporary:
        temporary.write_bytes(bytes(5000))
except OutputError as error:
    print(error)
"""


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(target)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{target}: cannot be written: ") and done.stdout.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_require_new(tmp_path: Path) -> None:
    require_new(tmp_path / "a", force=False)
    (tmp_path / "a").touch()
    require_new(tmp_path / "a", force=True)
    with pytest.raises(OutputError, match="--force"):
        require_new(tmp_path / "a", force=False)
    with pytest.raises(OutputError, match="is a folder"):
        require_new(tmp_path, force=True)
