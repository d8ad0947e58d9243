from __future__ import annotations

from pathlib import Path

import pytest

import voiceae
from voiceae.errors import ConfigError
from voiceae.training.settings import Settings, compose, config_dir, without_paths


def test_configs_of_a_checkout_are_found() -> None:
    assert (config_dir() / "config.yaml").is_file()


def test_configs_inside_the_package_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "voiceae"
    (package / "configs").mkdir(parents=True)
    monkeypatch.setattr(voiceae, "__file__", str(package / "__init__.py"))
    with pytest.raises(ConfigError, match="comes without its configs"):
        config_dir()
    (package / "configs" / "config.yaml").touch()
    assert config_dir() == package / "configs"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.mx_steps=1"], r"^unknown key trainer\.mx_steps; did you mean trainer\.max_steps\?$"),
        (["trainr=cpu"], r"^unknown key trainr; did you mean trainer\?$"),
        (["model.content.chanels=1"], r"^unknown key model\.content\.chanels$"),
        (["optim.momentm=1"], r"^unknown key optim\.momentm; did you mean optim\.momentum\?$"),
        (
            ["experiment=nonsense"],
            r"^In 'config': Could not find 'experiment/nonsense'; Available options .*debug",
        ),
        ([], r"^missing value: data\.store; give it as data\.store=\.\.\.$"),
        (["data.store=${nowhere}"], r"nowhere"),
    ],
)
def test_errors_are_one_line_that_helps(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        compose(overrides)
    assert "\n" not in str(raised.value)
    assert "provider=" not in str(raised.value)


def test_paths_are_cut_to_names() -> None:
    config = {
        "data": {"store": "/home/me/stores/vctk", "batch": 2},
        "betas": [0.9],
        "out": "runs/x",
        "name": "x",
    }
    assert without_paths(config) == {
        "data": {"store": "vctk", "batch": 2},
        "betas": [0.9],
        "out": "x",
        "name": "x",
    }


def test_an_experiment_file_that_is_no_yaml_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    mine = tmp_path / "experiment" / "mine.yaml"
    overrides = [f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine", "data.store=none"]
    for content in (
        b"name: [",
        b"a: b: c",
        b"name: \xff\xfe",
        b"name: a\x00b",
        b"defaults:\n",
        b"defaults: 3\n",
        b"- a\n- b\n",
        b"just words",
        b"!!python/object/apply:os.system [ls]",
        b"\t",
        b"name: *nowhere",
    ):
        mine.write_bytes(content)
        with pytest.raises(ConfigError) as refused:
            Settings.read(compose(overrides))
        assert str(refused.value) and all(c.isprintable() for c in str(refused.value))
