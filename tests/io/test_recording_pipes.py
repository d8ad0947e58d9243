from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.io.files import encoded, speech
from voiceae.errors import AudioError
from voiceae.io import audio as audio_io
from voiceae.io import recording as pipes
from voiceae.io.audio import header_seconds

WAV = speech(3.0)
CONTENT = encoded(WAV, "FLAC")


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe.wav")
    return tmp_path / "pipe.wav"


def feeding(path: Path, content: bytes) -> threading.Thread:
    thread = threading.Thread(target=path.write_bytes, args=(content,), daemon=True)
    thread.start()
    return thread


def test_a_pipe_is_read_as_often_as_wanted(fifo: Path) -> None:
    writer = feeding(fifo, CONTENT)
    assert header_seconds(fifo) == pytest.approx(3.0)
    for _ in range(3):
        assert len(np.concatenate(list(audio_io.blocks(fifo, 16000)))) == len(WAV)
    writer.join()
    feeding(fifo, encoded(WAV[:16000], "WAV")).join(0.2)
    assert audio_io.read(fifo).seconds == 1.0


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
@pytest.mark.parametrize("way", ["pipe", "file"])
def test_standard_input(tmp_path: Path, name: str, way: str) -> None:
    (tmp_path / "a.flac").write_bytes(CONTENT)
    code = "import sys; from voiceae.io import audio; print(audio.read(sys.argv[1]).seconds)"
    with (tmp_path / "a.flac").open("rb") as file:
        given = {"input": CONTENT} if way == "pipe" else {"stdin": file}
        done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, **given)
    assert float(done.stdout) == 3.0, done.stderr


def test_a_pipe_that_nothing_comes_out_of(fifo: Path) -> None:
    feeding(fifo, b"")
    with pytest.raises(AudioError, match="nothing comes out of"):
        audio_io.read(fifo)


def test_a_pipe_that_nobody_writes_to(fifo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "_WRITER_SECONDS", 0.05)
    with pytest.raises(AudioError, match="nobody writes to"):
        audio_io.read(fifo)
    assert header_seconds(fifo) == 0


def test_a_pipe_without_end(fifo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "MAX_BYTES", 10_000)
    feeding(fifo, CONTENT)
    with pytest.raises(AudioError, match="write it to a file"):
        audio_io.read(fifo)


def test_a_writer_that_takes_its_time(fifo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "_WRITER_SECONDS", 0.05)
    code = (
        "import sys, time; pipe = open(sys.argv[1], 'wb'); print('open', flush=True); time.sleep(0.5); "
        "pipe.write(sys.stdin.buffer.read())"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(fifo)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdin and writer.stdout
    handle = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # lets the writer open it
    writer.stdout.readline()
    writer.stdin.write(CONTENT)
    writer.stdin.close()
    assert audio_io.read(fifo).seconds == 3.0
    os.close(handle)
    assert writer.wait() == 0
