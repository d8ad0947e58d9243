"""Descriptions of models checked against what their classes take, before anything is built."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

import torch
from torch import nn

from voiceae import modelfile
from voiceae.errors import ConfigError
from voiceae.training.nodes import MOST

MOST_FLOAT = torch.finfo(torch.float32).max


def check_parts(description: Any, where: str) -> None:
    """Refuse plain arguments that a class cannot take: another type, a negative count, a number that is not finite.

    Args:
        description: as `modelfile.build` takes it; parts of parts are checked too.
        where: the node's name, for messages.

    Raises:
        ConfigError: for the first of them, by its key.
        ModelFileError: for a class outside `voiceae.`.
    """
    if isinstance(description, list | tuple):
        for place, value in enumerate(description):
            check_parts(value, f"{where}.{place}")
    if not isinstance(description, Mapping):
        return
    target = description.get("_target_")
    hints = _hints(modelfile.find_class(target)) if target is not None else {}
    for name, value in description.items():
        _check(value, hints.get(name, Any), f"{where}.{name}")
        check_parts(value, f"{where}.{name}")


def _hints(kind: Any) -> dict[str, Any]:
    try:
        return get_type_hints(kind.__init__)
    except NameError:  # of a type that is imported for checks alone
        return {}


def _check(value: Any, hint: Any, where: str) -> None:
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if Any in kinds or (value is None and type(None) in kinds):
        return
    whole = tuple(
        get_origin(kind) or kind for kind in kinds if (get_origin(kind) or kind) in (dict, list, Mapping)
    )
    if whole and isinstance(value, whole):  # a schedule in place of a number, and the like
        return
    if int in kinds:
        _check_count(value, where)
    elif float in kinds:
        _check_number(value, where)
    elif bool in kinds and not isinstance(value, bool):
        raise ConfigError(f"{where}={value!r}: expected true or false")
    elif any(_is_part(kind) for kind in kinds) and not isinstance(value, Mapping):
        raise ConfigError(f"{where}={value!r}: expected a part, as keys and values")


def _check_count(value: Any, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{where}={value!r}: expected int")
    if not 0 <= value <= MOST:
        raise ConfigError(f"{where}={value}: must be from 0 to {MOST}")


def _check_number(value: Any, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where}={value!r}: expected float")
    if not abs(value) <= MOST_FLOAT:
        raise ConfigError(f"{where}={value}: must be finite, and a number that float32 holds")


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, nn.Module)
