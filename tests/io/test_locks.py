"""What one process locks no other gets, until it lets go or dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from voiceae.errors import OutputError
from voiceae.io.locks import lock_file, locked

HANG_GUARD_SECONDS = 600  # only for a run that hangs

HOLD = """
import sys
from voiceae.io.locks import locked
with locked(sys.argv[1], "wait"):
    print("held", flush=True)
    sys.stdin.read()
"""
COUNT = """
import sys, time
from pathlib import Path
from voiceae.io.locks import locked
counter = Path(sys.argv[1])
for _ in range(25):
    with locked(counter, "wait", wait_seconds=600):
        value = int(counter.read_text())
        time.sleep(0.001)
        counter.write_text(str(value + 1))
"""


def holder(target: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=HANG_GUARD_SECONDS)


@pytest.mark.parametrize("kind", ["folder", "file", "file yet to come", "link"])
def test_another_process_is_refused_by_name_and_let_in_afterwards(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    if kind == "folder":
        target.mkdir()
    elif kind == "file":
        target.write_text("precious")
    name = target
    if kind == "link":
        name = tmp_path / "link"
        name.symlink_to(target)
    process = holder(target)
    with pytest.raises(OutputError) as caught, locked(name, "come back later"):
        pass
    message = str(caught.value)
    assert message.startswith(f"{name}: is being written by process {process.pid} on ")
    assert message.endswith("; come back later") and "\n" not in message
    end(process)
    with locked(name, "come back later"):
        assert lock_file(name).exists()
    left = sorted(os.listdir(tmp_path / "target" if kind == "folder" else tmp_path))
    assert left == {"folder": [], "file": ["target"], "file yet to come": [], "link": ["link"]}[kind]


def test_death_lets_go_and_its_leftover_is_cleared(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.send_signal(signal.SIGKILL)
    end(process)
    assert os.listdir(tmp_path) == [".lock"]
    with locked(tmp_path, "come back later"):
        pass
    assert os.listdir(tmp_path) == []


def test_no_turn_is_lost_among_many(tmp_path: Path) -> None:
    """Every process reads, waits and writes; the lock file comes and goes a hundred times."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", COUNT, str(counter)]) for _ in range(4)]
    assert [process.wait(timeout=HANG_GUARD_SECONDS) for process in processes] == [0] * 4
    assert counter.read_text() == "100" and os.listdir(tmp_path) == ["counter"]


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(tmp_path, "wait"):
            held.set()
            done.wait(HANG_GUARD_SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(HANG_GUARD_SECONDS)
    with pytest.raises(OutputError, match="is being written"), locked(tmp_path, "wait"):
        pass
    done.set()
    with locked(tmp_path, "wait", wait_seconds=HANG_GUARD_SECONDS):
        pass
    thread.join()


FORK = """
import os, sys, time
from voiceae.io.locks import locked
with locked(sys.argv[1], "wait"):
    if os.fork() == 0:
        print("forked", flush=True)
        sys.stdin.read()
        os._exit(0)
    time.sleep(600)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_of_a_killed_process_does_not_hold_its_lock(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FORK, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "forked\n"
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=HANG_GUARD_SECONDS)
    with locked(tmp_path, "wait"):  # the child still waits for the pipe that we hold
        pass
    end(process)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"), locked(tmp_path / "file" / "bank", "wait"):
        pass


def test_a_file_system_without_locks_is_told_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from voiceae.io import locks

    def refuse(handle: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "_lock", refuse)
    with pytest.warns(UserWarning, match="knows no locks"), locked(tmp_path, "wait"):
        pass
