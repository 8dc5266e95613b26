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


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    # Whole numbers up to where floats are exact: torch takes none beyond 64 bits.
    most = 2**53 if _is_integer(value) else sys.float_info.max
    return (_is_integer(value) or isinstance(value, float)) and abs(value) <= most


_PLAIN: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    int: ("an integer", _is_integer),
    float: ("a finite number", _is_finite),
    bool: ("true or false", lambda value: isinstance(value, int) and value in (0, 1)),
    str: ("a string", lambda value: isinstance(value, str)),
    list: ("a list", lambda value: isinstance(value, list)),
    dict: ("a mapping", lambda value: isinstance(value, dict)),
    None: ("null", lambda value: value is None),
    type(None): ("null", lambda value: value is None),
}
"""What messages call the types that JSON can hold, and whether a value is of one."""


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
    if annotation in _PLAIN:
        fits = _PLAIN[annotation][1](value)
    else:  # a module is never in a file
        fits = not (inspect.isclass(annotation) and issubclass(annotation, nn.Module))
    return None if fits else _said(where, _named(annotation), value)


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
    return _PLAIN[annotation][0] if annotation in _PLAIN else getattr(annotation, "__name__", str(annotation))
