"""Whether a value has the type that an annotation names: of a file's records, and of arguments.

Knows what JSON can hold: numbers, strings, booleans, None, lists and dicts of these, in typed dicts,
sequences, literals and unions; paths and modules besides. Numbers have to be finite unless said otherwise.
"""

import functools
import inspect
import os
import reprlib
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np
import torch
from torch import Tensor, nn

from cuvis_ai.errors import ConfigError, GraphError


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    # Whole numbers up to where floats are exact: torch takes none beyond 64 bits.
    most = 2**53 if _is_integer(value) else sys.float_info.max
    return (_is_integer(value) or isinstance(value, float)) and abs(value) <= most


_PLAIN: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    int: ("an integer", lambda value: _is_integer(value) and -(2**63) <= value < 2**63),
    float: ("a finite number", _is_finite),
    bool: ("true or false", lambda value: isinstance(value, int) and value in (0, 1)),
    str: ("a string", lambda value: isinstance(value, str)),
    Path: ("a path", lambda value: isinstance(value, str | os.PathLike)),
    os.PathLike[str]: ("a path", lambda value: isinstance(value, os.PathLike)),
    list: ("a list", lambda value: isinstance(value, list)),
    dict: ("a mapping", lambda value: isinstance(value, dict)),
    None: ("null", lambda value: value is None),
    type(None): ("null", lambda value: value is None),
}
"""What messages call the types that JSON can hold, and whether a value is of one."""

_CONTAINERS: dict[Any, Any] = {list: list, tuple: list, Sequence: list, dict: dict, Mapping: dict}
_ANY_NUMBER = ("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool))
"""A float where it need not be finite."""

_ANY_NUMBER_OF = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def misfit(value: object, annotation: Any, where: str, *, finite: bool = True) -> str | None:
    """Return what is wrong with a value, as `where: expected …, got …`; None if nothing is.

    An annotation that says nothing about plain values, such as a callable, is met by all of them. With
    `finite`, floats have to be finite.
    """
    if is_typeddict(annotation):
        return _record_misfit(value, get_type_hints(annotation), where)
    inner = functools.partial(misfit, finite=finite)
    origin, options = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        found = [inner(value, option, where) for option in options]
        if None in found:
            return None
        of_items = [one for one in found if one is not None and not one.startswith(f"{where}:")]
        if of_items and len(options) == 2 and types.NoneType in options:
            return of_items[0]
        return _said(where, " or ".join(_named(option) for option in options), value)
    if origin is Literal:
        fits = any(type(value) is type(option) and value == option for option in options)
        return None if fits else _said(where, _named(annotation), value)
    if origin in (list, tuple, Sequence):
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            return _said(where, "a list", value)
        if origin is tuple and ... not in options and len(value) != len(options):
            return _said(where, f"{len(options)} values", value)
        return _first(inner(item, options[0], f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Iterable:  # what is gone through once cannot be looked at before
        return _said(where, "a list", value) if isinstance(value, str) or not np.iterable(value) else None
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            return _said(where, "a mapping", value)
        return _first(inner(item, options[1], f"{where}[{reprlib.repr(k)}]") for k, item in value.items())
    if annotation is float and not finite:
        fits = _ANY_NUMBER[1](value)
    elif annotation in _PLAIN:
        fits = _PLAIN[annotation][1](value)
    else:
        is_module = inspect.isclass(annotation) and issubclass(annotation, nn.Module)
        fits = isinstance(value, annotation) if is_module else True
    return None if fits else _said(where, _named(annotation), value)


def argument_misfits(
    arguments: Mapping[str, Any], made: Callable[..., Any], where: str, *, finite: bool = True
) -> list[str]:
    """Return what is wrong with keyword arguments, by the annotations of what is called with them."""
    try:
        signature = inspect.signature(made, eval_str=True).parameters
    except NameError:  # an annotation of a user's class that is imported for type checkers alone
        return []
    # A class whose base is a protocol takes any, and needs none, unless it has a constructor of its own.
    parameters = {name: one for name, one in signature.items() if one.kind not in _ANY_NUMBER_OF}
    found = [f"{where}: `{name}`: no such argument." for name in arguments if name not in parameters]
    for name, parameter in parameters.items():
        if name in arguments:
            found += filter(None, [_misfit_of(arguments[name], parameter, where, finite)])
        elif parameter.default is parameter.empty:
            found.append(f"{where}: `{name}`: missing.")
    return found


def _misfit_of(value: object, parameter: inspect.Parameter, where: str, finite: bool) -> str | None:
    """What is wrong with one argument; a parameter's default is never wrong."""
    unsaid = parameter.annotation is parameter.empty
    if unsaid or (type(value) is type(parameter.default) and value == parameter.default):
        return None
    return misfit(value, parameter.annotation, f"{where}: `{parameter.name}`", finite=finite)


def check_arguments(cls: type[Any], *, strict: bool = True) -> None:
    """Let a class's constructor refuse arguments that are not of their annotated types.

    NumPy's and torch's numbers and vectors are taken as Python's, so that they can be saved.

    Args:
        cls: a class; without a constructor of its own it has that of its base.
        strict: whether floats have to be finite, and strings of those that a `Literal` names; otherwise the
            constructor judges that, beside its other values.
    """
    if "__init__" not in vars(cls):
        return
    unchecked = cls.__init__

    @functools.wraps(unchecked)
    def constructor(self: Any, *args: Any, **kwargs: Any) -> None:
        # A base's constructor is given what its subclass's has checked.
        if type(self).__init__ is constructor:
            args, kwargs = _checked(type(self), args, kwargs, strict)
        unchecked(self, *args, **kwargs)

    cls.__init__ = constructor


def check_methods(cls: type[Any]) -> None:
    """Let a class's public methods refuse arguments that are not of their annotated types.

    An annotation in quotes names what type checkers alone know, a value of a `Literal`, or one that has to be
    finite: those the method judges, beside its other values.
    """
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name != "__call__":
            continue
        if isinstance(member, classmethod):
            setattr(cls, name, classmethod(_checking(member.__func__)))
        elif inspect.isfunction(member):
            setattr(cls, name, _checking(member))


def _checking(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that raises a `GraphError` for arguments of other types."""
    signature = inspect.signature(method)
    where = "graph" if method.__name__ == "__call__" else method.__name__

    @functools.wraps(method)
    def checking(*args: Any, **kwargs: Any) -> Any:
        for _, problem in _judged(signature.bind(*args, **kwargs), where, strict=False):
            if problem:
                raise GraphError(problem)
        return method(*args, **kwargs)

    return checking


def _checked(
    cls: type[Any], args: tuple[Any, ...], kwargs: dict[str, Any], strict: bool
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments as plain values; raise a `ConfigError` for those of other types."""
    try:
        bound = inspect.signature(cls, eval_str=True).bind(*args, **kwargs)
    except (NameError, TypeError):  # annotations for type checkers alone; names that the constructor refuses
        return args, kwargs
    problems = []
    for parameter, problem in _judged(bound, cls.__name__, strict=strict):
        name, value = parameter.name, bound.arguments[parameter.name]
        if problem and (isinstance(value, np.generic | np.ndarray) or _is_dense(value)):
            bound.arguments[name] = value.tolist()
            problem = _misfit_of(bound.arguments[name], parameter, cls.__name__, strict) and problem
        if parameter.annotation is bool and not problem:
            bound.arguments[name] = bool(value)  # 0 and 1 are taken as well
        problems += [problem] if problem else []
    if problems:
        raise ConfigError("\n".join(problems))
    return bound.args, bound.kwargs


def _judged(
    bound: inspect.BoundArguments, where: str, *, strict: bool
) -> Iterator[tuple[inspect.Parameter, str | None]]:
    """Yield the parameters that are judged here, each with what is wrong with what it is given.

    Not judged are annotations in quotes, and without `strict` the words of a `Literal`.
    """
    for name, value in list(bound.arguments.items()):
        parameter = bound.signature.parameters[name]
        word = get_origin(parameter.annotation) is Literal and isinstance(value, str)
        quoted = isinstance(parameter.annotation, str)
        if not quoted and (strict or not word) and parameter.kind not in _ANY_NUMBER_OF:
            yield parameter, _misfit_of(value, parameter, where, strict)


def _is_dense(value: object) -> bool:
    """Whether a value is a tensor with numbers in memory."""
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


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
    annotation = _CONTAINERS.get(get_origin(annotation), annotation)
    return _PLAIN[annotation][0] if annotation in _PLAIN else getattr(annotation, "__name__", str(annotation))
