"""Whether a value read from a file has the type that an annotation names.

Knows what JSON can hold: numbers, strings, booleans, None, lists and dicts of these, in typed dicts,
sequences, literals and unions. Numbers have to be finite.
"""

import inspect
import reprlib
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from torch import nn


def misfit(value: object, annotation: Any, where: str) -> str | None:
    """Return what is wrong with a value, as `where: expected …, got …`; None if nothing is.

    An annotation that says nothing about plain values, such as a callable, is met by all of them.
    """
    if is_typeddict(annotation):
        return _record_misfit(value, get_type_hints(annotation), where)
    origin, options = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        if any(misfit(value, option, where) is None for option in options):
            return None
        return _said(where, " or ".join(_named(option) for option in options), value)
    if origin is Literal:
        fits = any(type(value) is type(option) and value == option for option in options)
        return None if fits else _said(where, _named(annotation), value)
    if origin in (list, tuple, Sequence):
        if not isinstance(value, list | tuple):
            return _said(where, "a list", value)
        return _first(misfit(item, options[0], f"{where}[{i}]") for i, item in enumerate(value))
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            return _said(where, "a mapping", value)
        return _first(misfit(item, options[1], f"{where}[{reprlib.repr(k)}]") for k, item in value.items())
    return None if _fits(value, annotation) else _said(where, _named(annotation), value)


def argument_misfits(arguments: Mapping[str, Any], made: Callable[..., Any], where: str) -> list[str]:
    """Return what is wrong with keyword arguments, by the annotations of what is called with them."""
    try:
        parameters = inspect.signature(made, eval_str=True).parameters
    except NameError:  # an annotation of a user's class that is imported for type checkers alone
        return []
    found = [f"{where}: `{name}`: no such argument." for name in arguments if name not in parameters]
    for name, parameter in parameters.items():
        annotated = parameter.annotation is not parameter.empty
        if name not in arguments and parameter.default is parameter.empty:
            found.append(f"{where}: `{name}`: missing.")
        elif name in arguments and annotated and arguments[name] != parameter.default:
            found += filter(None, [misfit(arguments[name], parameter.annotation, f"{where}: `{name}`")])
    return found


def _fits(value: object, kind: Any) -> bool:
    """Whether a value is of a plain type."""
    if kind is bool:
        return isinstance(value, int) and value in (0, 1)
    if kind in (int, float):
        is_number = isinstance(value, kind | int) and not isinstance(value, bool)
        if kind is int or not is_number:
            return is_number
        # Whole numbers up to where floats are exact: torch takes none beyond 64 bits.
        return abs(value) <= (2**53 if isinstance(value, int) else sys.float_info.max)  # type: ignore[arg-type]
    if kind in (str, list, dict):
        return isinstance(value, kind)
    if kind in (None, type(None)):
        return value is None
    return not (inspect.isclass(kind) and issubclass(kind, nn.Module))


def _record_misfit(value: object, fields: Mapping[str, Any], where: str) -> str | None:
    if not isinstance(value, dict):
        return _said(where, "a mapping", value)
    if set(value) != set(fields):
        return _said(where, f"the keys {', '.join(fields)}", list(value))
    return _first(misfit(value[key], kind, f"{where}.{key}") for key, kind in fields.items())


def _first(found: Any) -> str | None:
    return next((one for one in found if one is not None), None)


def _said(where: str, expected: str, value: object) -> str:
    return f"{where}: expected {expected}, got {reprlib.repr(value)}."


def _named(annotation: Any) -> str:
    """Return how messages call a type."""
    if get_origin(annotation) is Literal:
        return " or ".join(repr(option) for option in get_args(annotation))
    plain = {
        int: "an integer",
        float: "a finite number",
        bool: "true or false",
        str: "a string",
        type(None): "null",
    }
    return plain.get(annotation) or str(getattr(annotation, "__name__", annotation))
