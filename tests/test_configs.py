"""Every config and experiment composes, describes a model that can be built, and says each number once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.tiny import HANG_GUARD_SECONDS
from voiceae.io import modelfile
from voiceae.specs import AudioSpec
from voiceae.training.settings import Settings, compose, config_dir, known_keys
from voiceae.vocoders.base import Vocoder

CONFIGS = config_dir()
EXPERIMENTS = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))
OPTIONS = sorted(
    f"{path.parent.relative_to(CONFIGS)}={path.stem}"
    for path in CONFIGS.glob("*/**/*.yaml")
    if path.parent.name != "experiment"
)
STORE = "data.store=STORE"


def built(config: dict[str, Any]) -> torch.nn.Module:
    module = modelfile.build(Settings.read(config).for_speakers(3).model)
    assert isinstance(module, torch.nn.Module)
    return module


def test_experiments_compose_and_build() -> None:
    wrong = {}
    for experiment in EXPERIMENTS:
        try:
            config = compose([f"experiment={experiment}", STORE])
            said = (config["name"], config["out"], config["trainer"]["precision"])
            assert said == (experiment, f"runs/{experiment}", "auto")
            built(config)
        except Exception as error:  # all that are wrong are told, not only the first
            wrong[experiment] = repr(error)
    assert len(EXPERIMENTS) > 10 and not wrong


def test_options_compose_and_build() -> None:
    wrong = {}
    for option in OPTIONS:
        try:
            check_option(option)
        except Exception as error:
            wrong[option] = repr(error)
    assert len(OPTIONS) > 30 and not wrong


def check_option(option: str) -> None:
    group = option.split("=")[0]
    overrides = {"model/pitch": ["model/decoder=default"]}.get(group, [])
    model = built(compose([option, STORE, *overrides]))
    mel = torch.zeros(1, AudioSpec().n_mels, 9)
    if isinstance(model.eval(), Vocoder):
        assert model(mel).shape == (1, AudioSpec().samples(9))
    else:
        assert model.decode(model.encode(mel), model.embed(mel)).shape == mel.shape  # type: ignore[operator]


def test_the_wide_model_is_wider_and_has_at_most_11_million_weights() -> None:
    usual, wide = (
        built(compose(["experiment=base", STORE, f"model={name}"])) for name in ("default", "wide")
    )
    sizes = [sum(weight.numel() for weight in model.parameters()) for model in (usual, wide)]
    assert 1.3 * sizes[0] < sizes[1] <= 11_000_000


def test_experiments_are_short_differences_that_say_how_they_are_run() -> None:
    for experiment in EXPERIMENTS:
        lines = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text().splitlines()
        assert len(lines) <= 15, experiment
        package, command = lines[:2]  # Hydra wants the package first
        assert package == "# @package _global_", experiment
        assert command.startswith(f"# voiceae train experiment={experiment}"), experiment


def test_experiments_change_only_what_exists() -> None:
    for experiment in EXPERIMENTS:
        text = yaml.safe_load((CONFIGS / "experiment" / f"{experiment}.yaml").read_text())
        chosen = [entry for entry in text.get("defaults", []) if isinstance(entry, dict)]
        options = [f"{key.removeprefix('override /')}={one}" for each in chosen for key, one in each.items()]
        base = compose([STORE, *options])
        for node, values in text.items():
            if isinstance(values, dict):
                assert set(values) <= set(base[node]), f"{experiment}: {node}"


def test_the_audio_config_is_the_default_contract() -> None:
    assert AudioSpec.from_dict(compose([STORE])["audio"]) == AudioSpec()


def test_numbers_of_the_contract_have_one_source() -> None:
    config = compose([STORE, "audio.n_mels=64", "audio.f_max=7000"])
    assert (
        config["model"]["n_mels"]
        == config["model"]["content"]["n_mels"]
        == config["model"]["decoder"]["n_mels"]
        == 64
    )
    described = config["model"]["pitch"]["audio"]
    assert (described["n_mels"], described["f_max"]) == (64, 7000)
    built(config)


@pytest.mark.parametrize("node", ["data", "optim", "trainer", "vocoder", ""])
def test_configs_and_settings_name_the_same_keys(node: str) -> None:
    config = compose([STORE])
    keys = set(config[node] if node else config)
    assert keys == set(known_keys(node)) - {"config"}


def run_train(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys\nfrom voiceae.cli import run\ncode = run(['train', *sys.argv[1:]])\n"
        "print(*({'torch', 'lightning_fabric', 'librosa', 'numpy'} & set(sys.modules)))\nsys.exit(code)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=HANG_GUARD_SECONDS,
        cwd=folder,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trainer.mx_steps=1", STORE], "unknown key trainer.mx_steps; did you mean trainer.max_steps?"),
        (["+optim.no_such=1", STORE], "optim: unknown key 'no_such'"),
        (["model.content.no_such=1", STORE], "unknown key model.content.no_such"),
        (["experiment=no_such"], "Could not find 'experiment/no_such'"),
        ([], "missing value: data.store"),
        (["trainer.precision=fp8", STORE], "trainer.precision=fp8"),
        ([STORE], "STORE: is no feature store"),
        (["-m", "seed=0,1", STORE], "STORE: is no feature store"),
    ],
)
def test_a_wrong_config_is_one_line_before_anything_heavy(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = run_train(tmp_path, *arguments)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("[")]
    assert done.returncode == 1
    assert lines[0].startswith("voiceae: error: ")
    assert message in lines[0]
    assert len(lines) == 1
    assert done.stdout.splitlines()[-1:] in ([""], [])


def test_hydra_s_own_switches_work(tmp_path: Path) -> None:
    done = run_train(tmp_path, "--cfg", "job", "experiment=debug", STORE, "seed=3")
    assert done.returncode == 0, done.stderr
    printed = yaml.safe_load("\n".join(done.stdout.splitlines()[:-1]))
    assert (printed["seed"], printed["data"]["store"], printed["trainer"]["max_steps"]) == (3, "STORE", 8)
    done = run_train(tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    assert "voiceae train experiment=base data.store=STORE" in done.stdout


def test_configs_are_yaml_with_a_line_of_their_own_at_the_end() -> None:
    for path in Path(CONFIGS).rglob("*.yaml"):
        assert yaml.safe_load(path.read_text()) is not None, path
        assert path.read_text().endswith("\n"), path
