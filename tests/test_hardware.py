from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from voiceae.hardware import bf16_support

ZEN_4 = {"architecture": "x86_64", "avx2": True, "avx512_bf16": True}
SAPPHIRE_RAPIDS = {**ZEN_4, "amx_bf16": True}


def reported(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object], *, onednn: bool = True
) -> None:
    """A processor as torch and oneDNN would report it."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    answer = SimpleNamespace(_is_mkldnn_bf16_supported=lambda: onednn)
    monkeypatch.setattr(torch.ops, "mkldnn", answer, raising=False)
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("capabilities", "cap", "native"),
    [
        ({"architecture": "x86_64", "avx2": True}, None, False),
        ({"architecture": "x86_64", "avx512_f": True, "avx512_vnni": True}, None, False),
        (ZEN_4, None, True),
        (ZEN_4, "avx512_core_bf16", True),
        (ZEN_4, "AVX512_CORE_VNNI", False),
        (SAPPHIRE_RAPIDS, None, True),
        (SAPPHIRE_RAPIDS, "AVX512_CORE_AMX", True),
        (SAPPHIRE_RAPIDS, "AVX512_CORE_BF16", False),
        (SAPPHIRE_RAPIDS, "AVX512_CORE", False),
        ({"architecture": "arm64", "neon": True, "bf16": True}, None, True),
        ({"architecture": "arm64", "neon": True}, None, False),
    ],
)
def test_native_bf16_is_what_the_processor_has_and_onednn_may_use(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object], cap: str | None, native: bool
) -> None:
    reported(monkeypatch, capabilities)
    if cap is not None:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", cap)
    support = bf16_support("cpu")
    assert support.native == native
    assert cap is None or native or f"ONEDNN_MAX_CPU_ISA={cap}" in support.reason


def test_onednn_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    reported(monkeypatch, SAPPHIRE_RAPIDS, onednn=False)
    assert not bf16_support("cpu").native


def test_a_gpu_that_only_emulates_bf16_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not bf16_support("cuda").native
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert bf16_support("cuda").native


def test_this_processor_kept_to_avx2_has_none() -> None:
    """The real torch and the real oneDNN, asked in a process of their own."""
    code = "from voiceae.hardware import bf16_support; print(bf16_support('cpu').native)"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "False"


def test_torch_without_a_table_of_capabilities_is_asked_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(
        torch.ops, "mkldnn", SimpleNamespace(_is_mkldnn_bf16_supported=lambda: True), raising=False
    )
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    for amx, avx512, reason in ((True, True, "AMX"), (False, True, "AVX512_BF16"), (False, False, "no bf16")):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx512=avx512: avx512)
        support = bf16_support("cpu")
        assert support.native is (amx or avx512) and reason in support.reason
