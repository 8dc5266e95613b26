"""What the package holds, found by walking it, so that no test keeps a list of its own."""

import importlib
import inspect
import pkgutil
from types import ModuleType

import cuvis_ai


def modules() -> list[ModuleType]:
    """Return every module of the package."""
    found = pkgutil.walk_packages(cuvis_ai.__path__, f"{cuvis_ai.__name__}.")
    return [importlib.import_module(one.name) for one in found]


def classes() -> set[type]:
    """Return every class that a module of the package defines."""
    return {
        cls
        for module in modules()
        for cls in vars(module).values()
        if inspect.isclass(cls) and cls.__module__ == module.__name__
    }


def final_classes(base: type) -> set[type]:
    """Return the classes that derive from `base` and are meant to be used: neither abstract nor derived from."""
    derived = {cls for cls in classes() if issubclass(cls, base) and cls is not base}
    parents = {parent for cls in derived for parent in cls.__mro__[1:]}
    return {cls for cls in derived - parents if not inspect.isabstract(cls)}
