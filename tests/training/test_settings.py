from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.conftest import Composer
from voiceae.errors import ConfigError, OutputError, StoreError
from voiceae.training.schema import read
from voiceae.training.settings import LAST, DataSettings, is_first_process, known_keys

DATA: dict[str, Any] = {
    "store": "s",
    "batch_size": 2,
    "crop_frames": 8,
    "reference_frames": 8,
    "resident": True,
    "aligned_share": 0.0,
}


def test_values_arrive_with_their_types(composed: Composer) -> None:
    settings = composed("optim.learning_rate=1", "trainer.devices=auto", "name=7", "optim.clip_norm=null")
    assert isinstance(settings.optim.learning_rate, float)
    assert settings.optim.betas == (0.9, 0.98)
    assert (settings.trainer.devices, settings.name, settings.optim.clip_norm) == ("auto", "7", None)
    assert settings.audio.n_mels == 80


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_sise": 2}, r"data: unknown key 'batch_sise'; did you mean batch_size\?"),
        ({"zzz": 2}, "unknown key 'zzz'; there are aligned_share, batch_size, crop_frames"),
        ({"batch_size": "two"}, r"data\.batch_size='two': expected int"),
        ({"batch_size": True}, "expected int"),
        ({"batch_size": 1.5}, "expected int"),
        ({"crop_frames": 0}, r"data\.crop_frames=0: must be above 0"),
        ({"store": None}, r"data\.store=None: expected str"),
    ],
)
def test_wrong_values_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(DataSettings, {**DATA, **change}, "data")


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"missing value: data\.store"):
        read(DataSettings, {name: value for name, value in DATA.items() if name != "store"}, "data")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.precision=fp8", "trainer.precision=fp8: is not one of auto, fp32, bf16"),
        (
            "trainer.compile=fast",
            "trainer.compile=fast: is not one of inductor, cudagraphs, aot_eager, eager",
        ),
        ("optim.schedule=step", "optim.schedule=step: is not one of cosine, linear, constant"),
        ("trainer.ema_decay=1.5", "trainer.ema_decay=1.5: must be from 0 to 1"),
        ("optim.betas=[0.9]", "expected a list of 2 numbers"),
        ("+trainer.foo=1", "trainer: unknown key 'foo'"),
        ("+other=1", "config: unknown key 'other'"),
        ("+audio.foo=1", "unknown or missing fields foo"),
        ("audio.hop_length=300000", "hop_length 300000"),
        ("trainer={resume: auto, init_from: x}", "give one of them"),
        ("seed=-1", "^seed=-1: must be from 0 to 4294967295$"),
        ("seed=4294967296", "^seed=4294967296: must be from 0 to 4294967295$"),
        ("seed=1.5", r"^seed=1\.5: expected int$"),
        ("optim.betas=[0.9,1.0]", r"^optim\.betas\.1=1\.0: must be at least 0 and below 1$"),
        ("optim.betas=[-0.1,0.9]", r"^optim\.betas\.0=-0\.1: must be at least 0 and below 1$"),
        ("optim.betas=[nan,0.9]", r"^optim\.betas\.0=nan: must be at least 0 and below 1$"),
        ("optim.learning_rate=inf", r"^optim\.learning_rate=inf: must be above 0, and finite$"),
        ("optim.learning_rate=nan", r"^optim\.learning_rate=nan: must be above 0, and finite$"),
        ("optim.weight_decay=inf", r"^optim\.weight_decay=inf: must be at least 0, and finite$"),
        ("optim.warmup_steps=-1", r"^optim\.warmup_steps=-1: must be at least 0$"),
        ("optim.momentum=1", r"^optim\.momentum=1: must be at least 0 and below 1$"),
        ("trainer.ema_decay=nan", r"^trainer\.ema_decay=nan: must be from 0 to 1$"),
        ("trainer.log_every=0", r"^trainer\.log_every=0: must be above 0$"),
        ("data.batch_size=0", r"^data\.batch_size=0: must be above 0, and at most 10000000$"),
        ("data.batch_size=1e12", r"^data\.batch_size=1000000000000\.0: expected int$"),
        ("data.crop_frames=9999999999", r"^data\.crop_frames=9999999999: must be above 0, and at most"),
    ],
)
def test_what_hydra_lets_pass_is_refused(composed: Composer, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        composed(override)


def test_files_are_checked_before_anything_heavy(composed: Composer, tmp_path: Path) -> None:
    composed().check_files()
    with pytest.raises(StoreError, match="is no feature store; make one with voiceae prepare"):
        composed(f"data.store={tmp_path}").check_files()
    with pytest.raises(ConfigError, match=r"trainer\.init_from=.*gone: no such file"):
        composed(f"trainer.init_from={tmp_path}/gone").check_files()
    with pytest.raises(ConfigError, match=r"trainer\.resume=.*gone: no such file"):
        composed(f"trainer.resume={tmp_path}/gone").check_files()


def test_a_run_is_not_overwritten(composed: Composer, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = composed()
    settings.out.mkdir()
    (settings.out / "config.yaml").touch()
    with pytest.raises(OutputError, match=r"trainer\.resume=auto"):
        settings.check_files()
    composed("trainer.resume=auto").check_files()
    monkeypatch.setenv("LOCAL_RANK", "1")  # the first process has made the folder by then
    assert not is_first_process()
    settings.check_files()


def test_resume_auto_takes_the_last_checkpoint_if_any(composed: Composer) -> None:
    settings = composed("trainer.resume=auto")
    assert settings.resume_from is None
    settings.checkpoints.mkdir(parents=True)
    (settings.checkpoints / LAST).touch()
    assert settings.resume_from == settings.checkpoints / LAST


def test_known_keys() -> None:
    assert known_keys("data") == list(DATA)
    assert "trainer" in known_keys("")
    assert known_keys("model") == known_keys("nonsense") == []


def test_the_number_of_speakers_is_filled_in_wherever_it_is_open(composed: Composer) -> None:
    settings = composed(
        "+model.one.n_speakers=null", "+model.two=[{n_speakers: null, dim: null}, {n_speakers: 5}]"
    )
    filled = settings.for_speakers(7).model
    assert filled["one"] == {"n_speakers": 7}
    assert filled["two"] == [{"n_speakers": 7, "dim": None}, {"n_speakers": 5}]
    assert filled["content"] == settings.model["content"]
    assert settings.model["one"] == {"n_speakers": None}
