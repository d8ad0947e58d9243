from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from voiceae.errors import OutputError
from voiceae.io.filesystem import atomic_path, require_new


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
from voiceae.io.filesystem import atomic_path
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


KILLED = """
import os, signal, sys
from voiceae.io.filesystem import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    print("begun", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_cleared_and_a_running_ones_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED]
    killed = subprocess.run([*command, str(tmp_path / "killed.txt"), "kill"])
    assert killed.returncode == -9 and len(os.listdir(tmp_path)) == 1
    running = subprocess.Popen(
        [*command, str(tmp_path / "running.txt"), "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert running.stdout is not None and running.stdout.readline() == b"begun\n"
    (tmp_path / ".mine-00000000.wav").write_text("a hidden file of the user's")
    with atomic_path(tmp_path / "next.txt") as temporary:
        temporary.write_text("whole")
    kept = sorted(os.listdir(tmp_path))
    assert kept[0] == ".mine-00000000.wav" and kept[1].startswith(".running-") and kept[2:] == ["next.txt"]
    running.communicate()
    assert running.returncode == 0 and (tmp_path / "running.txt").read_text() == "half"


def test_a_writer_that_makes_a_file_of_its_own_keeps_the_usual_permissions(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with atomic_path(tmp_path / "a.txt") as temporary:
            own = tmp_path / "own"
            own.touch(mode=0o600)
            own.replace(temporary)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644


def test_the_umask_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(_: int) -> int:
        raise AssertionError(
            "the umask is the whole process's: another thread's files would get other rights"
        )

    monkeypatch.setattr(os, "umask", touched)
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")


@pytest.mark.parametrize("name", ["y" * 300, "zero\0.wav", "file/a.wav"])
def test_a_name_that_cannot_be_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    if name == "file/a.wav":
        require_new(tmp_path / name, force=False)
        return
    with pytest.raises(OutputError, match=r"cannot be used|is no name of a file"):
        require_new(tmp_path / name, force=False)


def test_a_long_name_that_can_be_is_written(tmp_path: Path) -> None:
    for name in ("ö" * 120 + ".wav", "a." + "b" * 250):
        with atomic_path(tmp_path / name) as temporary:
            temporary.write_text("x")
        assert (tmp_path / name).read_text() == "x"
    assert len(os.listdir(tmp_path)) == 2
