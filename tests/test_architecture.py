"""Rules that a machine can check: imports downhill and in no circles, small files and rooms, light commands."""

from __future__ import annotations

import ast
import copy
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "voiceae"
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}

LEVELS = [
    {"errors"},
    {"specs", "hardware"},
    {"dsp"},
    {"io"},
    {"processes", "assets"},
    {"nn"},
    {"models", "vocoders"},
    {"pretrained"},
    {"data"},
    {"training", "conversion"},
    {"evaluation"},
    {"latent"},
    {"benchmark"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
HEAVY = {
    *("torch", "torchaudio", "numpy", "scipy", "librosa", "soundfile", "soxr", "sklearn", "joblib"),
    *("lightning_fabric", "hydra", "omegaconf", "matplotlib", "tensorboard", "safetensors"),
}


def offenders(
    rule: Callable[[ast.Module], Iterable[tuple[int, str]]], paths: Iterable[Path] = tuple(TREES)
) -> list[str]:
    """Every line of some files that breaks a rule, so that one run shows all of them."""
    paths = list(paths)
    assert paths, "a rule without files holds for nothing"
    return [
        f"{path.relative_to(PACKAGE.parent)}:{line}: {what}"
        for path in paths
        for line, what in rule(TREES[path])
    ]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every imported module with its line; `from voiceae import files` counts as `voiceae.io.filesystem`."""
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


class Strip(ast.NodeTransformer):
    """Takes out what is imported for types alone, what a file does as a script and, if asked, function bodies."""

    def __init__(self, functions: bool) -> None:
        self.functions = functions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        return None if self.functions else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        test = ast.dump(node.test)
        return None if "TYPE_CHECKING" in test or "__main__" in test else self.generic_visit(node)


def at_module_level(tree: ast.Module) -> ast.Module:
    """What runs at import: no function bodies, nothing under `if TYPE_CHECKING`."""
    return Strip(functions=True).visit(copy.deepcopy(tree))


def uphill(tree: ast.Module, room: str) -> list[tuple[int, str]]:
    """Imports from a room at the same height or above, other than in what a file does as a script."""
    body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "__main__" in ast.dump(node.test))
    ]
    names = imported(ast.Module(body, tree.type_ignores))
    rooms = [(line, name.split(".")[1]) for line, name in names if name.startswith("voiceae.")]
    return [(line, other) for line, other in rooms if other != room and LEVEL[other] >= LEVEL[room]]


def stray_numbers(tree: ast.Module) -> list[tuple[int, str]]:
    """Lines that calculate with a literal hop length, window or sample rate."""
    operations = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp)]
    return [
        (node.lineno, ast.unparse(node))
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


def names_among(tree: ast.Module, forbidden: set[str]) -> list[tuple[int, str]]:
    """Imports of some libraries, whatever module of theirs."""
    return [(line, name) for line, name in imported(tree) if name.split(".")[0] in forbidden]


def files_of(*rooms: str) -> list[Path]:
    return [path for path in TREES if room_of(path) in rooms]


def test_every_room_has_a_height() -> None:
    assert {room_of(path) for path in TREES} - set(LEVEL) == {"__init__"}


def test_imports_run_downhill() -> None:
    # The package's own `__init__` names the public API of any room, lazily.
    for room in {room_of(path) for path in TREES} - {"__init__"}:
        assert offenders(lambda tree, room=room: uphill(tree, room), files_of(room)) == []


def test_an_uphill_import_is_seen() -> None:
    assert uphill(ast.parse("from voiceae.training import loop"), "dsp") == [(1, "training")]
    assert uphill(ast.parse("def f():\n    from voiceae import cli"), "data") == [(2, "cli")]
    assert uphill(ast.parse("import voiceae.vocoders.base"), "models") == [(1, "vocoders")]
    assert uphill(ast.parse("from voiceae.errors import AudioError"), "dsp") == []


def dependencies() -> dict[str, set[str]]:
    """Every module with the modules that it imports anywhere, in functions too."""
    names = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in TREES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        asked = set()
        for node in ast.walk(Strip(functions=False).visit(copy.deepcopy(TREES[path]))):
            if isinstance(node, ast.ImportFrom):
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                asked |= whole & set(names) or {node.module}
        graph[name] = asked & set(names) - {name, "voiceae"}
    return graph


def in_circles(graph: dict[str, set[str]]) -> set[str]:
    """What is left when all that imports nothing, or that nothing imports, has been taken away again and again."""
    left = {name: others for name, others in graph.items() if name != "voiceae"}
    while free := {
        name
        for name, others in left.items()
        if not others & set(left) or not any(name in asked for asked in left.values())
    }:
        left = {name: others for name, others in left.items() if name not in free}
    return set(left)


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = dependencies()
    assert (
        len(graph["voiceae.conversion.voice"]) > 5
        and "voiceae.conversion.voice" in graph["voiceae.commands.options"]
    )
    assert in_circles(graph) == set()
    assert in_circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"b", "c"}


def test_what_the_command_line_imports_is_light() -> None:
    # The rule is for what a command's own file says; the test below follows what that imports in turn.
    light = files_of("__init__", "__main__", "cli", "commands", "errors", "specs")
    assert offenders(lambda tree: names_among(at_module_level(tree), HEAVY), light) == []


def test_the_way_without_torch_names_nothing_that_is_slow_to_import() -> None:
    slow = HEAVY - {"numpy", "soundfile", "soxr"}
    assert (
        offenders(
            lambda tree: names_among(at_module_level(tree), slow),
            [path for path in TREES if path.name in ("voice.py", "onnx.py", "manifest.py", "select.py")],
        )
        == []
    )


def test_a_heavy_import_is_seen_at_module_level_only() -> None:
    tree = ast.parse(
        "import os, torch.nn\nif TYPE_CHECKING:\n    import numpy\ndef f():\n    import scipy\nfrom librosa import x"
    )
    assert names_among(at_module_level(tree), HEAVY) == [(1, "torch.nn"), (6, "librosa")]
    assert len(names_among(tree, HEAVY)) == 4, "the tree itself is left as it was"


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


def test_numbers_of_the_mel_contract_have_one_source() -> None:
    assert offenders(stray_numbers, [path for path in TREES if path.name != "specs.py"]) == []


def test_a_stray_number_is_seen() -> None:
    tree = ast.parse("frames = samples // 256\nx = 256\ny = 22050 * seconds")
    assert stray_numbers(tree) == [(1, "samples // 256"), (3, "22050 * seconds")]


def other_names(tree: ast.Module) -> list[tuple[int, str]]:
    """Arguments under names that other toolkits give to quantities that have one here."""
    forbidden = {"sr", "fs", "hop_size", "win_size", "num_mels", "fmin", "fmax", "sampling_rate"}
    return [
        (node.lineno, node.arg)
        for node in ast.walk(tree)
        if isinstance(node, ast.arg) and node.arg in forbidden
    ]


def test_quantities_have_one_name() -> None:
    assert offenders(other_names) == []
    assert other_names(ast.parse("def f(sr, *, fmin=0): pass")) == [(1, "sr"), (1, "fmin")]


def prints_or_exits(tree: ast.Module) -> list[tuple[int, str]]:
    forbidden = {"print", "exit", "quit", "sys.exit", "os._exit", "click.echo"}
    return [(call.lineno, name) for call, name in called(tree) if name in forbidden]


def test_the_library_neither_prints_nor_exits() -> None:
    own = {*files_of("cli", "commands", "__main__")}
    assert offenders(prints_or_exits, [path for path in TREES if path not in own]) == []
    assert prints_or_exits(ast.parse("def f():\n    print(1)\n    sys.exit(2)")) == [
        (2, "print"),
        (3, "sys.exit"),
    ]


def unpickling(tree: ast.Module) -> list[tuple[int, str]]:
    """What would run the code that a file brings along."""
    found = names_among(tree, {"dill", "cloudpickle", "shelve"})
    for call, name in called(tree):
        arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if (
            name.startswith("pickle.")
            or (name == "torch.load" and arguments.get("weights_only") != "True")
            or (name in ("np.load", "numpy.load") and arguments.get("allow_pickle", "False") != "False")
        ):
            found.append((call.lineno, ast.unparse(call)))
    return found


def test_nothing_is_unpickled() -> None:
    assert offenders(unpickling) == []
    bad = "import dill\npickle.load(f)\ntorch.load(f)\nnp.load(f, allow_pickle=True)\nnp.load(f)"
    assert [line for line, _ in unpickling(ast.parse(bad))] == [1, 2, 3, 4]


def short_limits(tree: ast.Module) -> list[tuple[int, str]]:
    """Limits of time in numbers that a busy machine may pass: a hang guard is ten minutes at least, and has a name."""
    return [
        (call.lineno, ast.unparse(keyword))
        for call, _ in called(tree)
        for keyword in call.keywords
        if keyword.arg == "timeout"
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is not None
    ]


def test_no_test_has_a_limit_of_time_that_a_busy_machine_breaks() -> None:
    for path in Path(__file__).parent.rglob("*.py"):
        assert short_limits(ast.parse(path.read_text(encoding="utf-8"))) == [], path
    assert short_limits(ast.parse("run(x, timeout=60)\nrun(x, timeout=HANG_GUARD_SECONDS)")) == [
        (1, "timeout=60")
    ]


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_files_and_rooms_are_small_enough_to_know() -> None:
    assert len(TREES) <= 195
    assert [str(path) for path in TREES if len(lines_of(path)) > 450] == []
    rooms = {
        folder: sum(len(lines_of(path)) for path in folder.glob("*.py")) for folder in PACKAGE.rglob("*")
    }
    assert {folder.name: lines for folder, lines in rooms.items() if lines > 2700} == {}


def comment_lines(text: str) -> set[int]:
    """Lines with a comment that is for people, not for a checker."""
    return {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and not re.match(r"#\s*(type: ignore|noqa)", token.string)
    }


def code_lines(tree: ast.Module, text: str) -> set[int]:
    """Lines that are neither blank, nor comments by themselves, nor docstrings."""
    prose = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = enumerate(text.splitlines(), 1)
    return {number for number, line in lines if line.strip() and not line.strip().startswith("#")} - prose


def test_comments_say_why_at_the_line() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in TREES}
    comments = sum(len(comment_lines(text)) for text in texts.values())
    code = sum(len(code_lines(TREES[path], text)) for path, text in texts.items())
    assert 100 * comments / code >= 3
    sample = '"""Doc."""\nx = 1  # why\n# because\ny = 2  # noqa: E501\n'
    assert comment_lines(sample) == {2, 3} and code_lines(ast.parse(sample), sample) == {2, 4}


def short_docstrings(tree: ast.Module | ast.ClassDef) -> list[tuple[int, str]]:
    """Public classes and functions that say less of themselves than four words."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if len((ast.get_docstring(node) or "").split()) < 4:
                found.append((node.lineno, node.name))
            if isinstance(node, ast.ClassDef):
                found += short_docstrings(node)
    return found


def test_public_names_say_what_they_are() -> None:
    assert offenders(short_docstrings) == []
    bad = ast.parse(
        'class A:\n    """What it is for."""\n    def f(self):\n        """Judge."""\ndef _g(): pass'
    )
    assert short_docstrings(bad) == [(3, "f")]


QUESTIONS = {
    "Where is the pitch moved to the target's, frame by frame?": ("voiceae/models/pitch.py", "MelPitch"),
    "Where do I add a loss?": ("voiceae/nn/losses.py", "MultiResolutionSTFTLoss"),
    "Where does a training decide which losses it has?": ("voiceae/training/objectives/base.py", "Objective"),
    "Where is one training step?": ("voiceae/training/loop.py", "Training"),
    "Where is a damaged MP3 recognised?": ("voiceae/io/integrity/mp3.py", "examine"),
    "Where is a noisy target warned of?": ("voiceae/conversion/reference_quality.py", "ReferenceQuality"),
    "Where do I add the layout of a corpus?": ("voiceae/data/corpora.py", "list_recordings"),
    "Where is a recording of an hour cut into chunks?": (
        "voiceae/conversion/chunked.py",
        "ChunkedConversion",
    ),
    "Where does a stream find the statistics of its norms?": (
        "voiceae/conversion/streaming/stream.py",
        "InitialStatistics",
    ),
    "Where is the mel contract, and its window?": ("voiceae/specs.py", "AudioSpec"),
    "Where do I add a scorer to the evaluation?": ("voiceae/pretrained/scorers.py", "SpeakerScorer"),
    "Where is an option worded that several commands have?": ("voiceae/commands/options.py", "targets"),
}
"""What a newcomer asks: the file that answers, and the name in it."""


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_newcomer_finds(question: str) -> None:
    path, name = QUESTIONS[question]
    tree = ast.parse((PACKAGE.parent / path).read_text(encoding="utf-8"))
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    defined |= {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert name in defined
