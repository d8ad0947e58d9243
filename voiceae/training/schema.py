"""Descriptions of models checked against what their classes take, before anything is built."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

from voiceae.errors import ConfigError
from voiceae.io import modelfile

MOST = 10_000_000
"""Of anything that is counted out and held in memory: beyond what fits there, and short of what numpy refuses."""


class Node:
    """A dataclass read from one node of the config."""

    @classmethod
    def read(cls, values: Mapping[str, Any], where: str) -> Self:
        """Instance from a node of the config.

        Args:
            values: keys and plain values.
            where: the node's name, for messages.

        Raises:
            ConfigError: for a key that is unknown or missing, or a value of the wrong type or range.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where}={values!r}: expected keys and values")
        hints = get_type_hints(cls)
        members = fields(cls)  # type: ignore[arg-type]
        for name in values:
            require_known(str(name), [member.name for member in members], where)
        optional = {
            each.name
            for each in members
            if each.default is not MISSING or each.default_factory is not MISSING
        }
        given = [member.name for member in members if member.name in values]
        missing = [f"{where}.{each.name}" for each in members if each.name not in {*given, *optional}]
        if missing:
            raise ConfigError(f"missing value: {', '.join(missing)}")
        node = cls(**{name: cast(values[name], hints[name], f"{where}.{name}") for name in given})
        node.check(where)
        return node

    def check(self, where: str) -> None:
        """Refuse values that do not make sense."""


def cast(value: Any, hint: Any, where: str) -> Any:
    """A value of the config as a dataclass wants it.

    Args:
        value: as the config has it.
        hint: a type, an optional or a union of types, a tuple, a mapping or a `Node`.
        where: the key, for messages.

    Raises:
        ConfigError: when it is of another type.
    """
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _cast_union(value, hint, where)
    if origin is tuple:
        return _cast_tuple(value, get_args(hint), where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}={value!r}: expected keys and values")
        return dict(value)
    if isinstance(hint, type) and issubclass(hint, Node):
        return hint.read(value, where)
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, int | float):  # `name=1` is a name
        return str(value)
    raise ConfigError(f"{where}={value!r}: expected {hint.__name__}")


def _cast_union(value: Any, hint: Any, where: str) -> Any:
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    if value is None and len(kinds) < len(get_args(hint)):
        return None
    plain = tuple(kind for kind in kinds if get_origin(kind) is None)
    if isinstance(value, plain) and not isinstance(value, bool):  # which python takes for an int
        return value
    return cast(value, kinds[0], where)


def _cast_tuple(value: Any, kinds: tuple[Any, ...], where: str) -> Any:
    if kinds[1:] == (...,):
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}={value!r}: expected a list")
        return tuple(cast(item, kinds[0], f"{where}.{place}") for place, item in enumerate(value))
    if not isinstance(value, list | tuple) or len(value) != len(kinds):
        raise ConfigError(f"{where}={value!r}: expected a list of {len(kinds)} numbers")
    return tuple(cast(item, kind, where) for item, kind in zip(value, kinds, strict=True))


def require_known(name: str, known: list[str], where: str) -> None:
    """Refuse an unknown key, with the nearest known one.

    Raises:
        ConfigError: when `name` is not among `known`.
    """
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
        raise ConfigError(f"{where or 'config'}: unknown key {name!r}; {hint}")


def require_positive(node: Any, where: str, *names: str) -> None:
    """Refuse numbers of a node that are not above 0, or have no end; None passes.

    Raises:
        ConfigError: for the first of them.
    """
    for name in names:
        value = getattr(node, name)
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{where}.{name}={value}: must be above 0" + _and_finite(value))


def require_count(node: Any, where: str, *names: str, most: int = MOST) -> None:
    """Refuse whole numbers of a node outside 1 to `most`; None passes.

    Raises:
        ConfigError: for the first of them.
    """
    for name in names:
        value = getattr(node, name)
        if value is not None and not 1 <= value <= most:
            raise ConfigError(f"{where}.{name}={value}: must be above 0, and at most {most}")


def require_range(node: Any, where: str, low: float, high: float | None, *names: str) -> None:
    """Refuse numbers of a node outside [low, high]; without `high` there is no upper end.

    Raises:
        ConfigError: for the first of them.
    """
    for name in names:
        value = getattr(node, name)
        if not low <= value < math.inf or (high is not None and value > high):
            limits = f"at least {low}" + _and_finite(value) if high is None else f"from {low} to {high}"
            raise ConfigError(f"{where}.{name}={value}: must be {limits}")


def require_below_one(node: Any, where: str, *names: str) -> None:
    """Refuse numbers of a node, or of tuples in it, outside [0, 1).

    Raises:
        ConfigError: for the first of them.
    """
    for name in names:
        value = getattr(node, name)
        places = enumerate(value) if isinstance(value, tuple) else [("", value)]
        for place, number in places:
            if not 0 <= number < 1:
                key = f"{where}.{name}.{place}".rstrip(".")
                raise ConfigError(f"{key}={number}: must be at least 0 and below 1")


def _and_finite(value: float) -> str:
    return "" if math.isfinite(value) else ", and finite"


def require_choice(node: Any, where: str, **choices: tuple[str, ...]) -> None:
    """Refuse names that a key does not know.

    Raises:
        ConfigError: for the first of them.
    """
    for name, legal in choices.items():
        if getattr(node, name) not in legal:
            raise ConfigError(f"{where}.{name}={getattr(node, name)}: is not one of {', '.join(legal)}")


MOST_FLOAT = (
    2 - 2**-23
) * 2.0**127  # the largest float32; torch itself is too heavy to ask before a config is right


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
    from torch import nn  # here, where the classes that are asked about have brought it along

    return isinstance(kind, type) and issubclass(kind, nn.Module)
