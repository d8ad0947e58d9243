from __future__ import annotations

from pathlib import Path

import pytest

from voiceae.conversion.backends.export import require_free, whole_folder
from voiceae.errors import OutputError


def make_export(folder: Path) -> Path:
    folder.mkdir()
    (folder / "manifest.json").write_text("old")
    return folder


def test_only_an_export_is_replaced_and_only_by_force(tmp_path: Path) -> None:
    require_free(tmp_path / "new", force=False)
    other = tmp_path / "photos"
    other.mkdir()
    for force in (False, True):
        with pytest.raises(OutputError, match="is no export"):
            require_free(other, force)
    old = make_export(tmp_path / "old")
    with pytest.raises(OutputError, match="use --force to replace it"):
        require_free(old, force=False)
    require_free(old, force=True)


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    out = make_export(tmp_path / "out")
    (out / "stale").write_text("x")
    with whole_folder(out) as folder:
        (folder / "manifest.json").write_text("new")
        assert (out / "manifest.json").read_text() == "old"
    assert [path.name for path in out.iterdir()] == ["manifest.json"]
    assert (out / "manifest.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_or_not_at_all(tmp_path: Path) -> None:
    out = make_export(tmp_path / "out")
    with pytest.raises(RuntimeError), whole_folder(out) as folder:
        (folder / "manifest.json").write_text("half")
        raise RuntimeError
    assert (out / "manifest.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_place_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"), whole_folder(tmp_path / "file" / "out"):
        pass


@pytest.mark.parametrize("at_once", [True, False])
def test_the_old_export_is_there_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    out, rename = make_export(tmp_path / "out"), Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if Path(target) == out and (self / "manifest.json").read_text() == "new":
            raise PermissionError(1, "Operation not permitted")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    if not at_once:  # as where the system cannot swap two names
        monkeypatch.setattr("voiceae.io.filesystem._exchange", lambda *_: False, raising=False)
    try:
        with whole_folder(out) as folder:
            (folder / "manifest.json").write_text("new")
        assert at_once
    except OutputError as error:
        assert not at_once and "Operation not permitted" in str(error)
    assert (out / "manifest.json").read_text() == ("new" if at_once else "old")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
