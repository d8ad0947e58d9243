"""What is in the wheel, and whether the project asks for everything that it imports."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest
import yaml

import voiceae
from voiceae import cli

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[; ]", name)[0]).lower()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a freshly built wheel."""
    if not find_spec("setuptools"):
        pytest.skip("setuptools is not installed; it builds the wheel (extra `dev`)")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("voiceae", "configs"):
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "voiceae/assets").mkdir(exist_ok=True)
    for model in (ROOT / "voiceae/assets").glob("*.safetensors"):  # their bytes do not matter here
        (source / "voiceae/assets" / model.name).write_bytes(b"weights")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*pip, "-w", str(out), str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("voiceae-*.whl")
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_module(wheel: set[str]) -> None:
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "voiceae").rglob("*.py")}
    assert sources - wheel == set()
    assert "voiceae/py.typed" in wheel


def test_the_wheel_holds_every_configuration_under_the_package(wheel: set[str]) -> None:
    ours = {
        f"voiceae/configs/{path.relative_to(ROOT / 'configs')}" for path in (ROOT / "configs").rglob("*.yaml")
    }
    assert ours
    assert {name for name in wheel if name.endswith(".yaml")} == ours


def test_the_wheel_holds_the_bundled_models(wheel: set[str]) -> None:
    ours = {f"voiceae/assets/{path.name}" for path in (ROOT / "voiceae/assets").glob("*") if path.is_file()}
    assert {*ours, "voiceae/assets/base.safetensors"} <= wheel


def test_the_wheel_holds_nothing_else(wheel: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel} == {
        "voiceae",
        next(n for n in wheel if "RECORD" in n).split("/")[0],
    }


def test_the_list_of_packages_is_that_of_the_folders() -> None:
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "voiceae").rglob("__init__.py")
    }
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(folders | {"voiceae.configs"})


def third_party(at_import: bool = False) -> Iterator[tuple[Path, str]]:
    """Imported packages with their file; those of function bodies too, unless only the import of a file counts."""
    for path in (ROOT / "voiceae").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in tree.body if at_import else ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            yield from ((path, name.split(".")[0]) for name in names)


def test_everything_imported_is_asked_for() -> None:
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    optional = [name for extra, names in extras.items() if extra != "dev" for name in names]
    asked = {normal(name) for name in [*project["dependencies"], *optional]}
    suppliers = packages_distributions()
    own = {*sys.stdlib_module_names, "voiceae"}
    strangers = {
        (path.name, module)
        for path, module in third_party()
        if module not in own
        and module in suppliers
        and not {normal(name) for name in suppliers[module]} & asked
    }
    assert strangers == set()


def test_torch_and_torchaudio_have_the_same_range() -> None:
    asked = {normal(each): each.removeprefix(normal(each)) for each in PROJECT["project"]["dependencies"]}
    assert asked["torch"] == asked["torchaudio"] == ">=2.9,<2.12"


def test_a_missing_library_is_named_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    suppliers = packages_distributions()
    for module, extra in cli.EXTRAS.items():
        names = {normal(name).removesuffix("-wheels") for name in suppliers.get(module, [module])}
        names |= {"resemblyzer"} if module == "webrtcvad" else set()  # which asks for it
        assert names & {normal(each) for each in extras[extra]}, (module, extra)

    def missing(name: str) -> NoReturn:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name, wanted in (("lightning_fabric.utilities", "'voiceae[train]'"), ("librosa", "voiceae")):
        monkeypatch.setattr(cli.voiceae, "invoke", lambda _, name=name: missing(name))
        assert cli.run(["info"]) == 1
        said = f"voiceae: error: {name} is not installed, and this needs it; pip install {wanted}\n"
        assert capsys.readouterr().err == said


WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Refusing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Refusing())
from voiceae.cli import run
sys.exit(run(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("library", "extra", "words"),
    [
        ("joblib", "train", ["prepare", "folder", "{clips}", "--out", "store"]),
        ("matplotlib", "latent", ["embed", "{clips}/slt_1.flac", "--out", "e.npz", "--plot", "map.png"]),
    ],
)
def test_a_command_without_its_extra_ends_in_one_line(
    library: str, extra: str, words: list[str], tmp_path: Path
) -> None:
    words = [word.format(clips=ROOT / "recipes/demo/clips") for word in words]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, library, *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert (
        done.stderr.startswith(f"voiceae: error: {library}")
        and f"pip install 'voiceae[{extra}]'" in done.stderr
    )


def test_the_package_without_extras_converts_embeds_and_enrols(tmp_path: Path) -> None:
    clips = ROOT / "recipes/demo/clips"
    source, target = str(clips / "slt_1.flac"), str(clips / "rms_1.flac")
    for words in (
        ["convert", source, "--target", target, "--out", "o.wav", "--runtime", "torch"],
        [
            "convert",
            source,
            "--target",
            target,
            "--out",
            "p.wav",
            "--vocoder",
            "griffinlim",
            "--runtime",
            "torch",
        ],
        ["embed", source, target, "--out", "e.npz"],
        ["speakers", "add", "bob", target, "--bank", "b.npz"],
        ["convert", source, "--target", "bob", "--bank", "b.npz", "--out", "q.wav"],
        ["info", source],
        ["train", "--cfg", "job", "data.store=store"],
    ):
        command = [sys.executable, "-c", WITHOUT, ",".join(cli.EXTRAS), *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"o.wav", "p.wav", "q.wav", "e.npz", "b.npz"}


def test_all_is_every_extra_that_installs_everywhere() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    (whole,) = extras["all"]
    named = set(re.findall(r"\[(.*)\]", whole)[0].split(","))
    assert set(extras) - named == {"all", "dev", "eval", "live", "sweep"}
    assert "$ROOT[all,dev]" in (ROOT / "recipes/common/env.sh").read_text()


def test_the_environment_without_torch_asks_for_little() -> None:
    lines = (ROOT / "recipes/onnx/requirements.txt").read_text().splitlines()
    assert len([line for line in lines if line and not line.startswith("#")]) == 6


def test_the_citation_names_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == voiceae.__version__
    assert citation["license"] == PROJECT["project"]["license"]


def test_the_hooks_before_a_commit_are_the_checks_of_ci() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [each["repo"] for each in config["repos"]] == ["local"]
    hooks = [hook for each in config["repos"] for hook in each["hooks"]]
    checks = (ROOT / ".ci" / "run").read_text()
    assert len(hooks) == 3
    for hook in hooks:
        assert hook["language"] == "system"
        assert hook["entry"].replace(".venv/bin/python", '"$PYTHON"') in checks
