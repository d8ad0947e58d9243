from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import voiceae
from tests.tiny import HANG_GUARD_SECONDS
from voiceae import cli
from voiceae.errors import AudioError

HEAVY = ("torch", "numpy", "librosa", "soundfile", "lightning_fabric", "hydra", "matplotlib", "scipy")


def fresh(code: str) -> str:
    """Standard output of a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=HANG_GUARD_SECONDS
    )
    return done.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["convert", "-h"], ["embed", "--help"], ["info", "-h"], ["--version"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"import sys; from voiceae.cli import run; code = run({arguments!r}); "
    code += f"print(code, [name for name in {HEAVY!r} if name in sys.modules])"
    assert fresh(code).endswith("0 []\n")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = f"import sys, voiceae; voiceae.AudioSpec; print([n for n in {HEAVY!r} if n in sys.modules]"
    code += ", dir(voiceae))"
    out = fresh(code)
    assert out.startswith("[]") and "'load'" in out


def test_lazy_names_are_the_real_ones() -> None:
    from voiceae.conversion.voice import Voice, load
    from voiceae.io.audio import Audio

    assert (voiceae.Audio, voiceae.Voice, voiceae.load) == (Audio, Voice, load)
    assert set(voiceae.__all__) <= set(dir(voiceae))
    with pytest.raises(AttributeError, match="nothing"):
        _ = voiceae.nothing


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in ("prepare", "train", "convert", "embed", "info", "vocoder"))
    assert "Examples:" in out


@pytest.mark.parametrize("name", ["convert", "embed", "info", "prepare"])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_help_has_examples(capsys: pytest.CaptureFixture[str], name: str, flag: str) -> None:
    assert cli.run([name, flag]) == 0
    out = capsys.readouterr().out
    assert "Examples:" in out and f"  voiceae {name} " in out


def test_no_help_holds_control_characters_and_every_one_has_paragraphs_that_fit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    context = cli.voiceae.make_context("voiceae", ["info"])
    calls = [[]]
    for name in set(cli.COMMANDS) - {"train"}:  # whose help is Hydra's
        command = cli.voiceae.get_command(context, name)
        calls += [[name, each] for each in getattr(command, "commands", ())] or [[name]]
    for call in calls:
        assert cli.run([*call, "--help"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert all(line.isprintable() and len(line) <= 120 for line in lines), call


def test_the_table_of_commands_has_modules_that_fit() -> None:
    context = cli.voiceae.make_context("voiceae", ["info"])
    for name in cli.voiceae.list_commands(context):
        assert cli.voiceae.get_command(context, name) is not None


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["convert"],
        ["convert", "--no-such-option"],
        ["embed", "a.wav"],
        ["info", "a", "b"],
    ],
)
def test_wrong_usage_exits_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert cli.run(arguments) == 2
    assert "Error: " in capsys.readouterr().err


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli.voiceae, "invoke", fail)


def test_bad_input_is_one_line_and_exits_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, AudioError("a.wav: no\n  good"))
    assert cli.run(["info"]) == 1
    assert capsys.readouterr().err == "voiceae: error: a.wav: no good\n"


def test_interrupted_exits_130(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert cli.run(["info"]) == 130
    assert capsys.readouterr().err.strip() == "voiceae: interrupted"


def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        cli.run(["info"])


@pytest.mark.parametrize("arguments", [["a=1", "-m", "--cfg", "job"], ["--help"], ["-h"], []])
def test_train_gets_its_arguments_unread(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    received: list[list[str]] = []
    monkeypatch.setattr("voiceae.commands.train.main", received.append)
    assert cli.run(["train", *arguments]) == 0
    assert received == [arguments]


def test_warnings_are_one_line_and_only_our_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "showwarning", cli._show_warning)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = cli._show_warning
        warnings.warn_explicit(
            "dull\nvoice", UserWarning, str(Path(cli.__file__).parent / "audio" / "io.py"), 3
        )
        warnings.warn_explicit("theirs", UserWarning, "/usr/lib/torch/x.py", 3)
        warnings.warn_explicit("old", DeprecationWarning, cli.__file__, 3)
    assert capsys.readouterr().err == "voiceae: warning: dull voice\n"


def test_python_dash_m_and_a_reader_that_leaves() -> None:
    done = subprocess.run([sys.executable, "-m", "voiceae", "-V"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"voiceae {voiceae.__version__}"
    command = f"{sys.executable} -m voiceae --help | true; exit ${{PIPESTATUS[0]}}"
    piped = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert piped.returncode in (0, 141) and piped.stderr == ""


def test_threads_wait_quietly() -> None:
    code = "import os, sys; from voiceae.cli import main\n"
    code += "try: main(['-V'])\nexcept SystemExit: print(os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines()[-1] == "PASSIVE"
