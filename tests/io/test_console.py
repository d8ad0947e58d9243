"""Standard streams that are closed, full, or read by nobody; commands in processes of their own, some checks each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

VOICEAE = f"{sys.executable} -m voiceae"


def shell(command: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["bash", "-c", command], capture_output=True, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("info >&-", 141, ""),
        ("info | true; exit ${PIPESTATUS[0]}", 141, ""),
        (
            "info >/dev/full",
            1,
            "voiceae: error: standard output: cannot be written: No space left on device\n",
        ),
        ("info 2>&-", 0, ""),
        ("info none 2>&-", 1, ""),
        ("info none 2>/dev/full", 1, ""),
        ("info none >&- 2>&-", 1, ""),
        (
            "info none >&-",
            1,
            "voiceae: error: none: no such model; give a model file or a bundled name (base, vocoder)\n",
        ),
        ("info a b 2>/dev/full", 2, ""),
        ("-V <&- >/dev/null 2>&-", 0, ""),
    ],
)
def test_every_state_of_the_streams(command: str, code: int, said: str) -> None:
    done = shell(f"{VOICEAE} {command}")
    assert (done.returncode, done.stderr.decode()) == (code, said)


CLOSED = """
import sys
from voiceae.io.console import protect
protect()
from tqdm import tqdm
with open(sys.argv[1], "w") as file:  # the next file that is opened gets the lowest number that is free
    for _ in tqdm(range(3)):
        print("to nobody")
        sys.stderr.write("to nobody")
    sys.stderr.flush()
    assert file.fileno() > 2
print(sys.stdin.read(), end="")
"""


def test_a_closed_stream_is_no_file_of_ours(tmp_path: Path) -> None:
    done = shell(f"{sys.executable} - {tmp_path / 'f'} <<'END' >&- 2>&-\n{CLOSED}\nEND")
    assert done.returncode == 0 and (tmp_path / "f").read_bytes() == b""


def test_what_is_printed_does_nothing_to_a_terminal() -> None:
    code = "import sys; from voiceae.io.console import protect; protect(); "
    code += "print('a\\x1b[2Jb\\tc\\udce9\\rd'); sys.stderr.write('\\r50 %\\x1b[A\\x1b[2J\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"a\\x1b[2Jb\tc\\xe9\\x0dd\n"
    assert done.stderr == b"\r50 %\x1b[A\\x1b[2J\n", "the moves of a progress bar are let through"


def test_a_current_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    command = f"cd {tmp_path}/here && rmdir {tmp_path}/here && {VOICEAE}"
    for arguments in ("prepare folder . --out s", f"prepare folder {tmp_path} --out s", "info x.safetensors"):
        done = shell(f"{command} {arguments}")
        (tmp_path / "here").mkdir()
        said = done.stderr.decode().splitlines()
        assert done.returncode == 1 and len(said) == 1 and said[0].startswith("voiceae: error: "), done.stderr
