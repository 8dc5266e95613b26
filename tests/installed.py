"""What is installed: the closure of a distribution's requirements."""

from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(name: str, *extras: str) -> set[str]:
    """Return the names of the installed distributions that `name[extras]` requires, directly or not, and its own."""
    seen: set[tuple[str, str]] = set()
    todo = [(canonicalize_name(name), extra) for extra in (*extras, "")]
    while todo:
        package, extra = todo.pop()
        if (package, extra) in seen:
            continue
        seen.add((package, extra))
        for line in requires(package) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                todo += [(canonicalize_name(needed.name), more) for more in (*needed.extras, "")]
    return {package for package, _ in seen}
