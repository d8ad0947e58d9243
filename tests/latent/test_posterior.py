from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voiceae.errors import EmbeddingError, ModelFileError
from voiceae.latent.posterior import SUFFIX, Posterior, posterior_path


def test_it_comes_back_from_its_file(posterior: Posterior, tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    posterior.save(path)
    again = Posterior.read(path, posterior.model)
    np.testing.assert_allclose(
        again.content.mixture.factors, posterior.content.mixture.factors, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(again.voices.scale, posterior.voices.scale, rtol=1e-5)
    assert again.about == posterior.about and again.voices.size == posterior.voices.size
    assert again.content.melody.deviation == posterior.content.melody.deviation
    with pytest.raises(EmbeddingError, match="was made with model"):
        Posterior.read(path, "beef")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="damaged"):
        Posterior.read(path)
    with pytest.raises(ModelFileError, match="posterior fit"):
        Posterior.read(tmp_path / "none.safetensors")


def test_it_is_kept_beside_the_model_but_not_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "mine.safetensors"
    assert posterior_path(model, "f00d") == tmp_path / f"mine{SUFFIX}"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert posterior_path(model, "f00d", [model]) == tmp_path / f"voiceae/posteriors/f00d{SUFFIX}"
