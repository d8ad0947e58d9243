from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from voiceae.commands import options
from voiceae.conversion.batch import Failure
from voiceae.errors import AudioError


def called(option: Any, *arguments: str) -> dict[str, Any]:
    """What a command with some options is called with."""
    found: dict[str, Any] = {}

    @click.command()
    @click.option("--seed", default=3)
    @option
    @options.force
    def command(**values: Any) -> None:
        found.update(values)

    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return found


def test_model_vocoder_and_device_are_one_argument() -> None:
    values = called(
        options.voice(), "--model", "mine", "--vocoder", "v.safetensors", "--device", "cuda", "--force"
    )
    assert values == {
        "choice": options.VoiceChoice("mine", "v.safetensors", "cuda"),
        "seed": 3,
        "force": True,
    }
    assert called(options.voice(device="cpu"))["choice"] == options.VoiceChoice("base", "default", "cpu")


def test_a_command_that_makes_no_sound_has_no_vocoder() -> None:
    assert called(options.voice(sound=False))["choice"] == options.VoiceChoice("base", "griffinlim", "auto")
    with pytest.raises(AssertionError, match="No such option"):
        called(options.voice(sound=False), "--vocoder", "default")


def test_an_option_that_several_commands_use_stands_once_in_each() -> None:
    def build() -> click.Command:
        return click.command()(options.bank(options.voice()(options.force(lambda **_: None))))

    for command in (build(), build()):
        assert [each.name for each in command.params] == ["bank", "model", "vocoder", "device", "force"]


def test_several_sounds_are_numbered_with_as_many_digits_as_the_last() -> None:
    assert options.numbered(Path("d/x.wav"), 2) == [Path("d/x-1.wav"), Path("d/x-2.wav")]
    assert options.numbered(Path("x.flac"), 10)[0] == Path("x-01.flac")


def test_files_that_cannot_be_used_are_passed_over_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    def work(file: Path) -> str:
        if file.stem == "b":
            raise AudioError("b.wav: silent")
        return file.stem

    results, failures = options.try_each(map(Path, ("a.wav", "b.wav", "c.wav")), work, iter)
    assert results == {Path("a.wav"): "a", Path("c.wav"): "c"}
    assert failures == [Failure("b.wav", "b.wav: silent")]
    assert options.report_failures(failures, 3, "clips") == 1
    assert capsys.readouterr().err.splitlines() == [
        "voiceae: b.wav: b.wav: silent",
        "voiceae: error: 1 of 3 clips could not be used",
    ]
    assert options.report_failures([], 3, "clips") == 0 and capsys.readouterr().err == ""


def test_text_with_the_name_of_a_file_that_is_no_utf8_can_be_written(tmp_path: Path) -> None:
    options.write_text(tmp_path / "a.txt", "l\udce9n")
    assert (tmp_path / "a.txt").read_text() == "l\\udce9n"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]
