from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest
import torch
import yaml

from tests.training.conftest import Composer
from voiceae.errors import ConfigError
from voiceae.hardware import Bf16Support
from voiceae.io import modelfile
from voiceae.training import precision
from voiceae.training.precision import choose, decided, trained_with
from voiceae.training.run import fit
from voiceae.training.settings import Settings


def report(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    support = Bf16Support(native, "as this test says")
    monkeypatch.setattr(precision, "bf16_support", lambda _: support)


def written(settings: Settings) -> str:
    return str(yaml.safe_load((settings.out / "config.yaml").read_text())["trainer"]["precision"])


@pytest.mark.parametrize(("native", "name"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_what_the_device_has_said_once_and_written_down(
    composed: Composer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    native: bool,
    name: str,
) -> None:
    report(monkeypatch, native)
    caplog.set_level(logging.INFO, "voiceae.training")
    settings = composed("trainer.precision=auto", "trainer.max_steps=2")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        module = fit(settings)
    assert caplog.messages == [f"precision {name}: as this test says"]
    assert module.settings.trainer.precision == written(settings) == name
    (leg,) = modelfile.load(settings.out / "model.safetensors", kind="autoencoder").header.extra["legs"]
    assert leg["precision"] == name
    assert trained_with(settings.checkpoints / "last.ckpt") == name


def test_auto_calculates_in_what_it_says(
    composed: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights after two steps are those of the precision given by name, and no other's."""
    weights = {}
    for asked, native in (("auto", True), ("auto", False), ("bf16", True), ("fp32", True)):
        report(monkeypatch, native)
        out = tmp_path / f"{asked}-{native}"
        module = fit(composed(f"trainer.precision={asked}", f"out={out}", "trainer.max_steps=2"))
        weights[asked, native] = torch.cat(
            [each.detach().flatten() for each in module.objective.parameters()]
        )
    assert torch.equal(weights["auto", True], weights["bf16", True])
    assert torch.equal(weights["auto", False], weights["fp32", True])
    assert not torch.equal(weights["bf16", True], weights["fp32", True])


def test_bf16_where_it_is_slow_is_warned_of_and_done(monkeypatch: pytest.MonkeyPatch) -> None:
    report(monkeypatch, False)
    with pytest.warns(
        UserWarning, match="trainer.precision=bf16: as this test says, so it is many times slower"
    ):
        assert choose("bf16", "cpu", None) == "bf16"


def test_a_run_goes_on_as_it_was_trained(composed: Composer, monkeypatch: pytest.MonkeyPatch) -> None:
    report(monkeypatch, False)
    begun = composed("trainer.precision=auto", "trainer.max_steps=2")
    fit(begun)
    report(monkeypatch, True)  # on a machine that would have begun in bf16
    resumed = composed("trainer.precision=auto", "trainer.max_steps=4", "trainer.resume=auto")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert fit(resumed).step == 4
    assert written(resumed) == "fp32"


def test_a_run_that_would_be_slow_here_changes_and_says_so(
    composed: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(monkeypatch, True)
    fit(composed("trainer.precision=auto", "trainer.max_steps=2"))
    report(monkeypatch, False)
    resumed = composed("trainer.precision=auto", "trainer.max_steps=4", "trainer.resume=auto")
    with pytest.warns(UserWarning, match=r"trained in bf16, which is slow here .*no longer exactly"):
        fit(resumed)
    assert written(resumed) == "fp32"


def test_another_precision_than_the_run_had_is_obeyed_and_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    report(monkeypatch, True)
    with pytest.warns(UserWarning, match="was trained in bf16 and goes on in fp32"):
        assert choose("fp32", "cpu", "bf16") == "fp32"


def test_a_checkpoint_that_does_not_tell_its_precision_has_none(tmp_path: Path) -> None:
    checkpoint = tmp_path / "last.ckpt"
    assert trained_with(checkpoint) is None
    for kept, known in (({"step": 3}, None), ({"precision": "bf16"}, "bf16"), ({"precision": "auto"}, None)):
        torch.save(kept, checkpoint)
        assert trained_with(checkpoint) == known
    checkpoint.write_bytes(b"damaged")
    assert trained_with(checkpoint) is None


def test_cuda_is_not_asked_before_a_fork(composed: Composer) -> None:
    settings = composed("trainer.accelerator=cuda", "trainer.strategy=ddp_fork", "trainer.precision=auto")
    with pytest.raises(ConfigError, match="give fp32 or bf16"):
        decided(settings)


def test_every_process_takes_the_precision_of_the_first_and_warns_where_it_is_slow(
    composed: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Second:
        """What a process other than the first sees of Fabric."""

        device, global_rank, is_global_zero = torch.device("cpu"), 1, False

        @staticmethod
        def broadcast(own: str) -> str:
            assert own == "auto"
            return "bf16"

    settings = composed("trainer.precision=auto")
    report(monkeypatch, True)
    assert precision.shared_precision(settings, Second()).trainer.precision == "bf16"  # type: ignore[arg-type]
    report(monkeypatch, False)
    with pytest.warns(UserWarning, match="process 1: the first process chose bf16, which is slow here"):
        assert precision.shared_precision(settings, Second()).trainer.precision == "bf16"  # type: ignore[arg-type]
