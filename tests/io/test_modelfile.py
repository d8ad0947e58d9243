from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.tiny import SPEC, description, full_disk, write_model
from voiceae.errors import ConfigError, ModelFileError, OutputError
from voiceae.io import modelfile
from voiceae.specs import AudioSpec


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    return write_model(path, extra={"corpus": "a few words", "steps": 3}).read_bytes()


@pytest.fixture
def model_file(tmp_path: Path, written: bytes) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(written)
    return path


def with_header(path: Path, **changes: Any) -> Path:
    """Rewrite fields of the header; the weights stay."""
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    table = json.loads(raw[8 : 8 + size])
    header = {**json.loads(table["__metadata__"]["voiceae"]), **changes}
    table["__metadata__"]["voiceae"] = json.dumps(header)
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + size :])
    return path


def test_reload_equals_before(tmp_path: Path, model_file: Path) -> None:
    torch.manual_seed(0)
    model = modelfile.build(description()).eval()
    model.set_statistics(torch.full((80,), -4.0), torch.full((80,), 2.0))
    loaded = modelfile.load(model_file, kind="autoencoder")
    mel = torch.randn(1, 80, 37) - 4
    torch.testing.assert_close(
        loaded.module.decode(loaded.module.encode(mel), loaded.module.embed(mel)),
        model.decode(model.encode(mel), model.embed(mel)),
        rtol=0,
        atol=0,
    )
    assert not loaded.module.training
    assert not any(weight.requires_grad for weight in loaded.module.parameters())


def test_header_tells_all_without_torch(model_file: Path) -> None:
    header = modelfile.read_header(model_file)
    model = modelfile.build(description())
    assert (header.kind, header.spec, header.description) == ("autoencoder", SPEC, description())
    assert header.extra == {"corpus": "a few words", "steps": 3}
    assert header.parameters == sum(value.numel() for value in model.state_dict().values())
    code = f"import sys; from voiceae.io.modelfile import read_header; read_header({str(model_file)!r}); "
    code += "assert 'torch' not in sys.modules and 'safetensors' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_half_precision_on_disk_float32_in_memory(tmp_path: Path, model_file: Path) -> None:
    half = write_model(tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < 0.6 * model_file.stat().st_size
    exact = modelfile.load(model_file, kind="autoencoder").module.state_dict()
    for name, value in modelfile.load(half, kind="autoencoder").module.state_dict().items():
        assert value.dtype == exact[name].dtype
        torch.testing.assert_close(value, exact[name], rtol=2**-11, atol=6e-8)


def test_half_precision_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    module = nn.Linear(1, 1)
    nn.init.constant_(module.weight, 1e6)
    path = tmp_path / "m.safetensors"
    with pytest.raises(ModelFileError, match="not finite in half precision: weight"):
        modelfile.save(path, module, kind="vocoder", description={}, spec=SPEC, half=True)
    assert not path.exists()


def test_weights_that_share_memory_are_stored(tmp_path: Path) -> None:
    module = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
    module[1].weight = module[0].weight
    modelfile.save(tmp_path / "m.safetensors", module, kind="vocoder", description={}, spec=SPEC)
    assert modelfile.read_header(tmp_path / "m.safetensors").parameters == 24


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.nn.Linear",
        "voiceae_evil.Model",
        "voiceaex",
        "",
        None,
        3,
        "this_would_be_imported.Model",
    ],
)
def test_foreign_class_is_refused_before_import(
    model_file: Path, monkeypatch: pytest.MonkeyPatch, target: object
) -> None:
    monkeypatch.setattr(modelfile.importlib, "import_module", lambda name: pytest.fail(f"imported {name}"))
    with_header(model_file, description={"_target_": target, "command": "true"})
    with pytest.raises(ModelFileError, match="only be built from classes of voiceae"):
        modelfile.load(model_file, kind="autoencoder")


def test_foreign_class_deep_inside_is_refused(model_file: Path) -> None:
    nested = {**description(), "speaker": [{"_target_": "subprocess.Popen", "args": "true"}]}
    with_header(model_file, description=nested)
    with pytest.raises(ModelFileError, match=r"model.safetensors: 'subprocess\.Popen'"):
        modelfile.load(model_file, kind="autoencoder")


@pytest.mark.parametrize(
    "target",
    [
        "voiceae.io.modelfile.save",
        "voiceae.dsp.mel.nn.Linear",
        "voiceae.models.encoders.nn",
        "voiceae.nowhere.X",
    ],
)
def test_only_our_own_model_classes(target: str) -> None:
    with pytest.raises((ModelFileError, ConfigError)):
        modelfile.build({"_target_": target})


def test_a_class_that_we_only_import_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    import voiceae.models.encoders as room

    monkeypatch.setattr(room, "Linear", nn.Linear, raising=False)
    with pytest.raises(ModelFileError, match="is not a model class"):
        modelfile.build({"_target_": "voiceae.models.encoders.Linear", "in_features": 1, "out_features": 1})


def test_wrong_arguments_name_the_class() -> None:
    with pytest.raises(ConfigError, match=r"voiceae\.models\.SpeakerEncoder: .*unexpected keyword"):
        modelfile.build({"_target_": "voiceae.models.SpeakerEncoder", "colour": "red"})


def test_another_kind_is_refused(model_file: Path) -> None:
    with pytest.raises(ModelFileError, match="is of kind autoencoder, where vocoder is wanted"):
        modelfile.load(model_file, kind="vocoder")
    with pytest.raises(ModelFileError, match="cannot hold a 'cat'"):
        modelfile.save(model_file, nn.Linear(1, 1), kind="cat", description={}, spec=SPEC)


def test_newer_format_says_so(model_file: Path) -> None:
    with_header(model_file, format=modelfile.FORMAT + 1, kind="hologram")
    with pytest.raises(ModelFileError, match=r"format 2, this voiceae reads up to 1; install a newer"):
        modelfile.load(model_file, kind="autoencoder")


@pytest.mark.parametrize(
    "changes",
    [
        {"spec": {"sample_rate": 1}},
        {"spec": None},
        {"spec": {**SPEC.to_dict(), "hop_length": 0}},
        {"description": 3},
        {"extra": 3},
        {"kind": "cat"},
        {"format": "new"},
        {"description": {}},
        {"description": {**description(), "n_mels": 10**15}},
        {"description": {"_target_": "voiceae.models.SpeakerEncoder", "n_mels": 80, "channels": 4}},
    ],
)
def test_damaged_headers(model_file: Path, changes: dict[str, Any]) -> None:
    with_header(model_file, **changes)
    with pytest.raises(ModelFileError, match=str(model_file)) as caught:
        modelfile.load(model_file, kind="autoencoder")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", [0.0, 0.00001, 0.001, 0.01, 0.5, 0.999999])
def test_truncated(model_file: Path, part: float) -> None:
    raw = model_file.read_bytes()
    model_file.write_bytes(raw[: int(part * len(raw))])
    with pytest.raises(ModelFileError, match="truncated"):
        modelfile.load(model_file, kind="autoencoder")


@pytest.mark.parametrize("place", [-1, -5000])
def test_one_flipped_bit_is_noticed(model_file: Path, place: int) -> None:
    raw = bytearray(model_file.read_bytes())
    raw[place] ^= 1
    model_file.write_bytes(raw)
    with pytest.raises(ModelFileError, match="its weights are not those that were saved"):
        modelfile.load(model_file, kind="autoencoder")


@pytest.mark.parametrize(
    "content", [b"\0" * 4000, b"not a model", b"\x05\0\0\0\0\0\0\0[1,2]", b"\x02\0\0\0\0\0\0\0{}"]
)
def test_not_a_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
        modelfile.read_header(path)


def test_foreign_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelFileError, match="not a model of this toolkit"):
        modelfile.read_header(tmp_path / "x.safetensors")
    with pytest.raises(ModelFileError, match="is a folder"):
        modelfile.read_header(tmp_path)
    with pytest.raises(ModelFileError, match="no such model file"):
        modelfile.read_header(tmp_path / "y.safetensors")


def test_weights_of_another_shape(model_file: Path) -> None:
    narrow = description()
    narrow["speaker"] = {**narrow["speaker"], "channels": 8}
    with_header(model_file, description=narrow)
    with pytest.raises(ModelFileError, match="weights do not fit the description: size mismatch for speaker"):
        modelfile.load(model_file, kind="autoencoder")


def test_full_disk_leaves_the_old_file(model_file: Path) -> None:
    before = model_file.read_bytes()
    with full_disk(50_000), pytest.raises(OutputError, match="cannot be written"):
        write_model(model_file, seed=1)
    assert model_file.read_bytes() == before
    assert list(model_file.parent.iterdir()) == [model_file]


def test_spec_travels(tmp_path: Path) -> None:
    spec = AudioSpec(sample_rate=16000, hop_length=200, n_mels=64)
    modelfile.save(tmp_path / "m.safetensors", nn.Linear(1, 1), kind="vocoder", description={}, spec=spec)
    assert modelfile.read_header(tmp_path / "m.safetensors").spec == spec


def handmade(path: Path, change: Callable[[dict[str, Any]], object], out: Path) -> Path:
    """A model file whose header was changed by hand: `change` gets it as read, and may return the text instead."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    table = json.loads(data[8 : 8 + size])
    header = json.loads(table["__metadata__"]["voiceae"])
    text = change(header)
    table["__metadata__"]["voiceae"] = text if isinstance(text, str) else json.dumps(header)
    head = json.dumps(table).encode()
    head += b" " * (-len(head) % 8)
    out.write_bytes(len(head).to_bytes(8, "little") + head + data[8 + size :])
    return out


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"x": value}
    return value


WRONG_HEADERS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "deep": (lambda h: h.update(description=nested(900)), "nested more than 64 levels"),
    "deep extra": (lambda h: h.update(extra=nested(900)), "nested more than 64 levels"),
    "list": (lambda h: h.update(description=["a"]), "its description is a list, not an object"),
    "pairs": (lambda h: h.update(extra=[["a", 1]]), "its extra is a list"),
    "bomb": (lambda h: h["description"]["content"].update(channels=2_000_000), "asks for a tensor of"),
    "many": (lambda h: h["description"]["content"].update(n_blocks=10**9), "asks for far more parts"),
    "huge": (lambda h: h["description"]["content"].update(channels=10**30), "an integer beyond"),
    "mel": (lambda h: h["spec"].update(n_fft=2**30, win_length=1024), "no mel is like that"),
    "endless": (lambda h: json.dumps(h).replace('"f_max": 8000.0', '"f_max": 1e999'), "no finite number"),
    "nan": (lambda h: json.dumps(h).replace('"f_max": 8000.0', '"f_max": NaN'), "NaN|finite"),
    "twice": (lambda h: json.dumps(h)[:-1] + ', "kind": "vocoder"}', "a name stands twice"),
    "format": (lambda h: h.update(format=True), "its format is True"),
    "checksum": (lambda h: h.update(checksum={"a": 1}), "its checksum is no text"),
    "escapes": (lambda h: h.update(kind="\x1b]0;gone\x07"), r"is a .x1b\]0;gone"),
}


@pytest.mark.parametrize("name", WRONG_HEADERS)
def test_a_header_made_by_hand_is_one_line(tmp_path: Path, name: str) -> None:
    change, reason = WRONG_HEADERS[name]
    path = handmade(write_model(tmp_path / "m.safetensors"), change, tmp_path / "x.safetensors")
    with pytest.raises(ModelFileError, match=reason) as refused:
        modelfile.load(path, kind="autoencoder")
    assert (
        "\n" not in str(refused.value) and str(refused.value).isprintable() and len(str(refused.value)) < 600
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda value: value.to(torch.int8), "is torch.int8, torch.float32 is wanted"),
        (lambda value: value * torch.nan, "weights that are not finite"),
        (lambda value: value[:1].clone(), "weights do not fit the description"),
    ],
)
def test_weights_of_another_kind_are_refused(
    tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], reason: str
) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = write_model(tmp_path / "m.safetensors")
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["voiceae"])
    name = next(name for name, value in tensors.items() if value.ndim == 3)
    tensors[name] = change(tensors[name])
    header["checksum"] = modelfile.checksum(tensors)
    save_file(tensors, path, metadata={"voiceae": json.dumps(header)})
    with pytest.raises(ModelFileError, match=reason):
        modelfile.load(path, kind="autoencoder")


def test_a_table_where_a_module_belongs_is_refused() -> None:
    told = description()
    told["content"] = {name: value for name, value in told["content"].items() if name != "_target_"}
    with pytest.raises(ConfigError, match=r"voiceae\.models\.Autoencoder: "):
        modelfile.build(told)
