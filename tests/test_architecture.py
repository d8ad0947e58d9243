"""Rules of the house that a machine can check: imports run downhill, commands start light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "voiceae"
FILES = sorted(PACKAGE.rglob("*.py"))

LEVELS = [
    {"errors"},
    {"specs", "files", "float32", "locks", "processor", "streams", "threads"},
    {"modelfile", "processes"},
    {"audio"},
    {"nn"},
    {"models", "vocoders"},
    {"losses"},
    {"data"},
    {"metrics"},
    {"training", "inference"},
    {"onnx"},
    {"export"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
HEAVY = {
    *("torch", "torchaudio", "numpy", "scipy", "librosa", "soundfile", "soxr", "sklearn", "joblib"),
    *("lightning", "hydra", "omegaconf", "matplotlib", "tensorboard", "safetensors"),
}


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE.parent))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every imported module with its line; `from voiceae import files` counts as `voiceae.files`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield node.lineno, node.module or ""
            if node.module == "voiceae":
                yield from (
                    (node.lineno, f"voiceae.{alias.name}") for alias in node.names if alias.name in LEVEL
                )


def at_module_level(tree: ast.Module) -> ast.Module:
    """What runs at import: no function bodies, nothing under `if TYPE_CHECKING`."""

    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.If | None:
            return None if "TYPE_CHECKING" in ast.dump(node.test) else node

    return Strip().visit(tree)


def uphill(source: str, room: str) -> list[tuple[int, str]]:
    """Imports from a room at the same height or above, other than in what a file does as a script."""
    tree = ast.parse(source)
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "__main__" in ast.dump(node.test))
    ]
    rooms = [(line, name.split(".")[1]) for line, name in imported(tree) if name.startswith("voiceae.")]
    return [(line, other) for line, other in rooms if other != room and LEVEL[other] >= LEVEL[room]]


def stray_numbers(source: str) -> list[int]:
    """Lines that calculate with a literal hop length, window or sample rate."""
    operations = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.BinOp)]
    return [
        node.lineno
        for node in operations
        if isinstance(node.op, ast.FloorDiv | ast.Div | ast.Mult | ast.Mod)
        and any(
            isinstance(side, ast.Constant) and side.value in (256, 22050) for side in (node.left, node.right)
        )
    ]


def called(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def test_every_room_has_a_height() -> None:
    assert {room_of(path) for path in FILES} - set(LEVEL) == {"__init__"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_downhill(path: Path) -> None:
    room = room_of(path)
    # The package's own `__init__` names the public API of any room, lazily.
    assert room == "__init__" or uphill(path.read_text(), room) == []


def test_an_uphill_import_is_seen() -> None:
    assert uphill("from voiceae.training import loop", "audio") == [(1, "training")]
    assert uphill("def f():\n    from voiceae import cli", "data") == [(2, "cli")]
    assert uphill("import voiceae.vocoders.base", "models") == [(1, "vocoders")]
    assert uphill("from voiceae.errors import AudioError", "audio") == []


LIGHT = [
    path for path in FILES if room_of(path) in ("__init__", "__main__", "cli", "commands", "errors", "specs")
]


@pytest.mark.parametrize("path", LIGHT, ids=name_of)
def test_what_the_command_line_imports_is_light(path: Path) -> None:
    names = {name.split(".")[0] for _, name in imported(at_module_level(ast.parse(path.read_text())))}
    # The rule is for what a command's own file says; the test below follows what that imports in turn.
    assert names & HEAVY == set()


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) == "onnx"], ids=name_of)
def test_the_way_without_torch_names_nothing_that_is_slow_to_import(path: Path) -> None:
    tree = at_module_level(ast.parse(path.read_text()))
    slow = HEAVY - {"numpy", "soundfile", "soxr"}
    assert {name.split(".")[0] for _, name in imported(tree)} & slow == set()


def test_importing_every_command_loads_nothing_heavy() -> None:
    modules = [
        "voiceae",
        "voiceae.cli",
        *(f"voiceae.commands.{p.stem}" for p in (PACKAGE / "commands").glob("[!_]*.py")),
    ]
    code = f"import sys, importlib\nfor m in {modules!r}: importlib.import_module(m)\nprint(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(loaded) & HEAVY == set()


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "specs.py"], ids=name_of)
def test_numbers_of_the_mel_contract_have_one_source(path: Path) -> None:
    assert stray_numbers(path.read_text()) == []


def test_a_stray_number_is_seen() -> None:
    assert stray_numbers("frames = samples // 256\nx = 256\ny = 22050 * seconds") == [1, 3]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_quantities_have_one_name(path: Path) -> None:
    arguments = {node.arg for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.arg)}
    assert (
        arguments & {"sr", "fs", "hop_size", "win_size", "num_mels", "fmin", "fmax", "sampling_rate"} == set()
    )


@pytest.mark.parametrize(
    "path", [p for p in FILES if room_of(p) not in ("cli", "commands", "__main__")], ids=name_of
)
def test_the_library_neither_prints_nor_exits(path: Path) -> None:
    names = {name for _, name in called(ast.parse(path.read_text()))}
    assert names & {"print", "exit", "quit", "sys.exit", "os._exit", "click.echo"} == set()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_unpickled(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert {name.split(".")[0] for _, name in imported(tree)} & {"dill", "cloudpickle", "shelve"} == set()
    for call, name in called(tree):
        assert not name.startswith("pickle."), f"line {call.lineno}"
        arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if name == "torch.load":
            assert arguments.get("weights_only") == "True", f"line {call.lineno}"
        if name in ("np.load", "numpy.load"):
            assert arguments.get("allow_pickle", "False") == "False", f"line {call.lineno}"
