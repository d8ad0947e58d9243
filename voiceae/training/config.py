"""Finds and composes the Hydra configs; errors are one line. Nothing heavy is imported here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import voiceae
from voiceae.errors import ConfigError, did_you_mean
from voiceae.training.settings import known_keys

CONFIG_NAME = "config"


def config_dir() -> Path:
    """Folder of the Hydra configs: inside an installed package, or beside it in a checkout.

    Raises:
        ConfigError: when neither is there.
    """
    package = Path(voiceae.__file__).resolve().parent
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / f"{CONFIG_NAME}.yaml").is_file():
            return folder
    raise ConfigError(f"{package}: comes without its configs; install voiceae again")


def compose(overrides: list[str]) -> dict[str, Any]:
    """The resolved config of some overrides, as plain dictionaries.

    Raises:
        ConfigError: for an unknown key or option, or a value that is missing or contradicts another.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        try:
            return resolved(hydra_compose(CONFIG_NAME, overrides))
        except ConfigError:
            raise
        except Exception as error:
            # Whatever a user's own YAML can hold: beside its two families of errors Hydra lets those of the YAML reader
            # and of decoding through, and raises plain ValueError, TypeError and AssertionError for odd structures.
            raise ConfigError(
                one_line(error) or f"the config cannot be read: {type(error).__name__}"
            ) from error


def resolved(config: Any) -> dict[str, Any]:
    """A composed config as plain dictionaries; a missing value raises OmegaConf's own error."""
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    if not isinstance(plain, dict):
        raise ConfigError(f"the config is {type(plain).__name__}; give keys and values")
    return {str(name): value for name, value in plain.items()}


def one_line(error: BaseException) -> str:
    """What a user should know of an error of Hydra or OmegaConf.

    Their several lines become one, without the search path, the object types and the advice of `+`.
    """
    from omegaconf.errors import MissingMandatoryValue

    unknown = re.search(r"Could not override '([\w.]+)'", str(error))
    if unknown:
        return unknown_key(unknown[1])
    if isinstance(error, MissingMandatoryValue):
        return f"missing value: {error.full_key}; give it as {error.full_key}=..."
    text = str(error).split("Config search path:")[0]
    lines = [line.strip() for line in text.splitlines()]
    lines = ["".join(c for c in line if c.isprintable()) for line in lines]
    dull = ("full_key:", "object_type=", "reference_type=", "To append to your config", "Set the environment")
    return "; ".join(line.rstrip(".") for line in lines if line and not line.startswith(dull))


def unknown_key(key: str) -> str:
    """Message for a key that the config does not have, with the nearest one that it has."""
    where = key.rpartition(".")[0]
    known = [f"{where}.{name}" if where else name for name in known_keys(where)]
    return f"unknown key {key}" + (f"; {did_you_mean(key, known)}" if known else "")


def without_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with every path cut to its last name: a model file tells nothing of its machine."""
    return {name: _without_path(value) for name, value in config.items()}


def _without_path(value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_paths(value)
    if isinstance(value, list | tuple):
        return [_without_path(item) for item in value]
    return Path(value).name if isinstance(value, str) and ("/" in value or "\\" in value) else value
