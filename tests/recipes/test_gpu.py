"""The probe of a GPU on a CPU: rows with limits, a file after each, and an exit code that tells."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

PROBE = Path(__file__).resolve().parents[2] / "recipes/gpu/probe.py"


@pytest.fixture(scope="module")
def probe() -> dict[str, Any]:
    return runpy.run_path(str(PROBE))


def rows(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["rows"]


def test_parity_holds_and_steps_repeat_on_a_cpu(probe: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "probe.json"
    arguments = ["--tiny", "--device", "cpu", "--out", str(out), "--minutes", "600"]
    assert probe["main"]([*arguments, *("--only", "parity"), *("--only", "repeats")]) == 0
    found = {row["name"]: row for row in rows(out)}
    assert {"log-mel", "conversion", "vocoder"} <= set(found) and all(row["ok"] for row in found.values())
    assert found["conversion"]["fp32"] == 0 < found["conversion"]["bf16"]
    assert found["vqvae"]["bit_for_bit"] is True
    assert list(tmp_path.iterdir()) == [out]


def test_a_row_beyond_its_limit_fails_the_probe(probe: dict[str, Any], tmp_path: Path) -> None:
    assert probe["judged"]({"fp32": 1e-7})["ok"] and not probe["judged"]({"fp32": 0.1})["ok"]
    assert not probe["judged"]({"bf16": float("nan")})["ok"]
    out = tmp_path / "probe.json"
    probe["LIMITS"]["bf16"] = 0.0
    arguments = ["--tiny", "--device", "cpu", "--out", str(out), "--only", "parity"]
    assert probe["main"](arguments) == 1


def test_rows_beyond_the_minutes_are_left_out_by_name(probe: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "probe.json"
    assert (
        probe["main"](["--tiny", "--device", "cpu", "--out", str(out), "--minutes", "0", "--only", "eager"])
        == 0
    )
    assert [row["left_out"] for row in rows(out)] == ["the minutes were over"] * 5
