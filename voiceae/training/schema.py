"""Checks of a config by pydantic, and of models' descriptions by what their classes take, before anything is built."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, ConfigDict, PlainValidator, Strict, TypeAdapter, ValidationError

from voiceae.errors import ConfigError, did_you_mean
from voiceae.io import modelfile

MOST = 10_000_000
"""Of anything that is counted out and held in memory: beyond what fits there, and short of what numpy refuses."""
MOST_FLOAT = (2 - 2**-23) * 2.0**127
"""The largest float32; torch itself is too heavy to ask before a config is known to be right."""
STRICT = ConfigDict(extra="forbid", coerce_numbers_to_str=True)  # `name=1` is a name
Read = TypeVar("Read")


def must(holds: Callable[[Any], bool], wanted: str) -> AfterValidator:
    """Refuse values for which a condition does not hold.

    Args:
        holds: the condition.
        wanted: what to say of it.
    """

    def check(value: Any) -> Any:
        if not holds(value):
            raise ValueError(wanted)
        return value

    return AfterValidator(check)


def one_of(*names: str) -> AfterValidator:
    """Refuse all names but some."""
    return must(lambda name: name in names, f"is not one of {', '.join(names)}")


def count(most: int) -> AfterValidator:
    """Refuse whole numbers outside 1 to `most`."""
    return must(lambda value: 1 <= value <= most, f"must be above 0, and at most {most}")


def within(low: float, high: float) -> AfterValidator:
    """Refuse numbers outside [low, high]."""
    return must(lambda value: low <= value <= high, f"must be from {low} to {high}")


def _number_or_name(value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("expected int")
    return value


Int = Annotated[int, Strict()]
Float = Annotated[float, Strict()]  # whole numbers pass; words that spell one, and true, do not
Bool = Annotated[bool, Strict()]
IntOrName = Annotated[int | str, PlainValidator(_number_or_name)]
PositiveInt = Annotated[Int, must(lambda value: value > 0, "must be above 0")]
PositiveFloat = Annotated[Float, must(lambda value: 0 < value < math.inf, "must be above 0, and finite")]
Count = Annotated[Int, count(MOST)]
NonNegativeInt = Annotated[Int, must(lambda value: value >= 0, "must be at least 0")]
NonNegativeFloat = Annotated[
    Float, must(lambda value: 0 <= value < math.inf, "must be at least 0, and finite")
]
Share = Annotated[Float, within(0, 1)]
BelowOne = Annotated[Float, must(lambda value: 0 <= value < 1, "must be at least 0 and below 1")]


def read(kind: type[Read], values: Any, where: str = "") -> Read:
    """A dataclass from plain values of the config.

    Args:
        kind: the dataclass.
        values: keys and values.
        where: the key of the values, for messages.

    Raises:
        ConfigError: for a key that is unknown or missing, or a value of the wrong type or range.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        # An unknown key first: it is often the missing one, misspelt.
        errors = sorted(error.errors(), key=lambda each: each["type"] != _UNKNOWN)
        raise ConfigError(_message(errors[0], kind, where)) from None


_UNKNOWN = "unexpected_keyword_argument"
_WANTED = {
    "int_type": "int",
    "float_type": "float",
    "bool_type": "true or false",
    "string_type": "str",
    "dict_type": "keys and values",
    "dataclass_type": "keys and values",
    "tuple_type": "a list",
    "too_long": "a list of 2 numbers",
}
"""What to say of pydantic's kinds of errors; the only lists of a fixed length are pairs."""


def _message(error: Any, kind: Any, where: str) -> str:
    """One line: the key, what came and what was wanted."""
    place, value, sort = [str(part) for part in error["loc"]], error["input"], error["type"]
    key, owner = (".".join(filter(None, (where, *parts))) for parts in (place, place[:-1]))
    if sort == _UNKNOWN:
        known = keys_of(kind, place[:-1])
        return f"{owner or 'config'}: unknown key {place[-1]!r}; {did_you_mean(place[-1], known)}"
    if sort == "missing":
        short = isinstance(value, list | tuple)  # a number of a pair
        return f"{owner}={value!r}: expected a list of 2 numbers" if short else f"missing value: {key}"
    if sort == "value_error":  # of the checks above
        return f"{key}={value}: {error['ctx']['error']}"
    return f"{key}={value!r}: " + (f"expected {_WANTED[sort]}" if sort in _WANTED else error["msg"])


def keys_of(kind: Any, place: Iterable[str]) -> list[str]:
    """Keys of a dataclass, or of one within it; none for what has no fixed keys.

    Args:
        kind: the dataclass.
        place: keys, and numbers in lists, on the way to the one within.
    """
    for part in place:
        hints = get_type_hints(kind) if is_dataclass(kind) else {}
        kind = get_args(kind)[0] if part.isdigit() else hints.get(part)
    return [field.name for field in fields(kind)] if is_dataclass(kind) else []


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
    hints: dict[str, Any] = {}
    if target is not None:
        with suppress(NameError):  # of a type that is imported for checks alone
            hints = get_type_hints(modelfile.find_class(target).__init__)
    for name, value in description.items():
        check_value(value, hints.get(name, Any), f"{where}.{name}")
        check_parts(value, f"{where}.{name}")


def check_value(value: Any, hint: Any, where: str) -> None:
    """Refuse a plain value that an argument with a type hint cannot take; see `check_parts`."""
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if Any in kinds or (value is None and type(None) in kinds):
        return
    whole = tuple(
        get_origin(kind) or kind for kind in kinds if (get_origin(kind) or kind) in (dict, list, Mapping)
    )
    if whole and isinstance(value, whole):  # a schedule in place of a number, and the like
        return
    known = not isinstance(value, bool)
    if int in kinds:
        if not (known and isinstance(value, int)):
            raise ConfigError(f"{where}={value!r}: expected int")
        if not 0 <= value <= MOST:
            raise ConfigError(f"{where}={value}: must be from 0 to {MOST}")
    elif float in kinds:
        if not (known and isinstance(value, int | float)):
            raise ConfigError(f"{where}={value!r}: expected float")
        if not abs(value) <= MOST_FLOAT:
            raise ConfigError(f"{where}={value}: must be finite, and a number that float32 holds")
    elif bool in kinds and known:
        raise ConfigError(f"{where}={value!r}: expected true or false")
    elif not isinstance(value, Mapping):
        from torch import nn  # here, where the classes that are asked about have brought it along

        if any(isinstance(kind, type) and issubclass(kind, nn.Module) for kind in kinds):
            raise ConfigError(f"{where}={value!r}: expected a part, as keys and values")
