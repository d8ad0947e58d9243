"""`voiceae vocoder import`."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from voiceae.commands.vocoder import command
from voiceae.errors import VocoderError
from voiceae.io import modelfile


def test_import_writes_one_file(shared_vocoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "lj.safetensors"
    result = CliRunner().invoke(command, ["import", str(shared_vocoder), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert result.output == f"wrote {out}\n"
    header = modelfile.read_header(out)
    assert header.description["_target_"] == "voiceae.vocoders.hifigan.HiFiGAN"
    assert header.parameters == 1_462_273


def test_import_leaves_errors_to_the_command_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["import", str(tmp_path), "--out", str(tmp_path / "x.safetensors")])
    assert isinstance(result.exception, VocoderError)
    assert list(tmp_path.iterdir()) == []


def test_out_is_asked_for(tmp_path: Path) -> None:
    assert CliRunner().invoke(command, ["import", str(tmp_path)]).exit_code == 2
