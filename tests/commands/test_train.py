"""`voiceae train` as a user types it; what the training itself does is tested in tests/training."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.training.conftest import write_store
from voiceae.commands.train import main
from voiceae.errors import ConfigError, OutputError, StoreError
from voiceae.io.modelfile import read_header


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    write_store(tmp_path / "store")
    toy = ["trainer.picture_every=0", "trainer.max_steps=2", "trainer.validate_batches=0"]
    return ["experiment=debug", f"data.store={tmp_path / 'store'}", f"out={tmp_path / 'run'}", *toy]


def test_a_run_and_its_refusal_to_be_overwritten(arguments: list[str], tmp_path: Path) -> None:
    before = list(sys.argv)
    main(arguments)
    assert read_header(tmp_path / "run" / "model.safetensors").extra["steps"] == 2
    with pytest.raises(OutputError, match=r"holds a run; go on with it by trainer\.resume=auto"):
        main(arguments)
    main([*arguments, "trainer.resume=auto", "trainer.max_steps=3"])
    assert read_header(tmp_path / "run" / "model.safetensors").extra["steps"] == 3
    assert sys.argv == before
    assert "HYDRA_FULL_ERROR" not in os.environ


def test_a_sweep_gives_every_job_a_folder(arguments: list[str], tmp_path: Path) -> None:
    main(["-m", *arguments, "seed=3,4", "trainer.max_steps=1"])
    folders = sorted((tmp_path / "run").glob("*/model.safetensors"))
    assert [read_header(path).extra["seed"] for path in folders] == [3, 4]
    assert ["seed=3" in folders[0].parent.name, "seed=4" in folders[1].parent.name] == [True, True]
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_errors_come_through_hydra_unharmed(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StoreError, match="is no feature store"):
        main(["-m", *arguments, "data.store=nowhere"])
    with pytest.raises(ConfigError, match="unknown key trainer"):
        main([*arguments, "trainer.no=1"])
    with pytest.raises(ConfigError, match="Available options"):
        main(["-m", *arguments, "model/bottleneck=no,other"])
    assert capfd.readouterr().err == ""
    assert "HYDRA_FULL_ERROR" not in os.environ
