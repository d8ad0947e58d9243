"""`recipes/common/env.sh` with a stand-in for Python: what it installs, when, and how it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FAKE_PYTHON = f"""#!/bin/bash
# Answers like an interpreter; notes what pip is asked for, and fails for packages named in $REFUSE.
case "$*" in
  "-m venv --clear "*) [ -z "${{NO_ENSUREPIP:-}}" ] || [ "$4" = --without-pip ] || exit 1
    target="${{@: -1}}"; mkdir -p "$target/bin"; cp "$0" "$target/bin/python" ;;
  "-m pip --version") ;;
  "-m pip "*) echo "$*" >>"$LOG"; case "$*" in *"${{REFUSE:-nothing at all}}"*) exit 1 ;; esac ;;
  *) exec {sys.executable} "$@" ;;
esac
"""


class Checkout:
    """A copy of what the environment is made from, in a folder with a space in its name."""

    def __init__(self, folder: Path) -> None:
        self.root, self.log = folder / "a checkout", folder / "pip.log"
        (self.root / "recipes/common").mkdir(parents=True)
        shutil.copy(ROOT / "recipes/common/env.sh", self.root / "recipes/common")
        shutil.copy(ROOT / "pyproject.toml", self.root)
        self.python = folder / "python"
        self.python.write_text(FAKE_PYTHON)
        self.python.chmod(0o755)

    def source(self, **variables: str) -> tuple[int, list[str], str]:
        """Source env.sh: exit code, what pip was asked for, standard error."""
        self.log.write_text("")
        script = f'set -euo pipefail; source "{self.root}/recipes/common/env.sh"; "$PYTHON" -c "print(6 * 7)"'
        environment = {**os.environ, "VOICEAE_PYTHON": str(self.python), "LOG": str(self.log), **variables}
        done = subprocess.run(
            ["bash", "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode or done.stdout == "42\n"
        return done.returncode, self.log.read_text().splitlines(), done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_it_installs_once(checkout: Checkout) -> None:
    code, first, _ = checkout.source()
    assert code == 0
    assert [line.split("install ")[1].replace(str(checkout.root), "") for line in first] == [
        "--editable [all,dev]",
        "--no-deps Resemblyzer",
        "pyworld",
    ]
    assert checkout.source()[:2] == (0, [])


def test_a_changed_project_is_installed_again(checkout: Checkout) -> None:
    checkout.source()
    with (checkout.root / "pyproject.toml").open("a") as file:
        file.write("\n# another dependency\n")
    assert len(checkout.source()[1]) == 3
    assert checkout.source()[1] == []


def test_a_moved_checkout_is_installed_again(checkout: Checkout) -> None:
    checkout.source()
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    assert len(checkout.source()[1]) == 3


def test_without_a_compiler_it_goes_on_and_says_so(checkout: Checkout) -> None:
    code, _, errors = checkout.source(REFUSE="pyworld")
    assert code == 0
    assert "note: pyworld could not be built here" in errors
    assert checkout.source()[:2] == (0, [])


def test_a_failed_install_is_not_taken_for_a_finished_one(checkout: Checkout) -> None:
    code, _, errors = checkout.source(REFUSE="--editable")
    assert code == 1
    assert "the environment could not be made" in errors
    assert len(checkout.source()[1]) == 3


def test_a_python_without_ensurepip_gets_its_pip_from_outside(checkout: Checkout) -> None:
    code, asked, _ = checkout.source(NO_ENSUREPIP="1")
    assert code == 0
    assert asked[0].startswith(f"-m pip --python {checkout.root}/.venv/bin/python install")


def test_an_old_python_is_passed_over(checkout: Checkout, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("#!/bin/bash\nexit 1\n")
    old.chmod(0o755)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "dirname", "rm", "mkdir", "cp", "cat"):
        (tools / name).symlink_to(shutil.which(name) or name)
    code, asked, errors = checkout.source(VOICEAE_PYTHON=str(old), PATH=str(tools))
    assert (code, asked) == (1, [])
    assert "Python 3.11 or later is wanted" in errors
