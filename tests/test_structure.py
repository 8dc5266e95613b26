"""The house holds: sizes of files and functions, no circle of imports, one name for one file, mirrored tests."""

import ast
import graphlib
import inspect
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

import cuvis_ai
from tests.conftest import REPOSITORY
from tests.found import classes

PACKAGE = Path(cuvis_ai.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

MOST_LINES = 300
MOST_LINES_OF_A_FUNCTION = 40
MOST_LOCAL_IMPORTS = 4
LEAST_MIRRORED = 0.85

Function = ast.FunctionDef | ast.AsyncFunctionDef


def shown(path: Path) -> str:
    return path.relative_to(PACKAGE.parent).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def imports_of_ours(tree: ast.AST) -> Iterator[ast.stmt]:
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(name), level=0) if name.partition(".")[0] == PACKAGE.name:
                yield node
            case ast.ImportFrom(level=level) if level:
                yield node
            case ast.Import(names=names) if any(n.name.partition(".")[0] == PACKAGE.name for n in names):
                yield node


# Files and functions.


def test_no_file_is_long() -> None:
    lengths = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert not {path: n for path, n in lengths.items() if n > MOST_LINES}


def lines_of_code(function: Function, source: list[str]) -> int:
    """Lines of a function's body without docstring, comments and blank lines."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    lines = source[body[0].lineno - 1 : function.end_lineno] if body else []
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines)


def test_no_function_is_long() -> None:
    lengths = {
        f"{shown(path)}: {function.name}": lines_of_code(
            function, path.read_text(encoding="utf-8").splitlines()
        )
        for path in MODULES
        for function in functions(parsed(path))
    }
    assert not {name: n for name, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION}


def test_no_file_name_is_used_twice() -> None:
    counts = Counter(path.name for path in MODULES if path.name != "__init__.py")
    assert not {name for name, count in counts.items() if count > 1}


def test_a_packages_init_defines_nothing() -> None:
    defining = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    inits = [path for path in MODULES if path.name == "__init__.py"]
    assert not [
        shown(path) for path in inits if any(isinstance(node, defining) for node in parsed(path).body)
    ]


# Imports.


@pytest.fixture(scope="module")
def imported() -> dict[str, set[str]]:
    """What each module imports of the package; packages are modules, too, by their __init__.py."""
    graph = grimp.build_graph(PACKAGE.name, cache_dir=None)
    return {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}


def assert_no_circle(edges: dict[str, set[str]]) -> None:
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as err:
        pytest.fail(" imports ".join(reversed(err.args[1])))


def test_no_circle_of_files(imported: dict[str, set[str]]) -> None:
    assert_no_circle(imported)


@pytest.mark.parametrize("folder", [path.parent for path in MODULES if path.name == "__init__.py"], ids=shown)
def test_no_circle_inside_a_folder(folder: Path, imported: dict[str, set[str]]) -> None:
    """Its files and subfolders, each subfolder with all that lies in it."""
    inside = shown(folder).replace("/", ".") + "."
    member = {
        name: inside + name[len(inside) :].partition(".")[0] for name in imported if name.startswith(inside)
    }
    edges: dict[str, set[str]] = {name: set() for name in member.values()}
    for name, of in member.items():
        edges[of] |= {member[other] for other in imported[name] if other in member} - {of}
    assert_no_circle(edges)


def test_every_folder_has_its_row_in_the_contract_of_the_folder_that_it_lies_in() -> None:
    """Files need none, unlike with `exhaustive`: an extension is a file."""
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    for contract in contracts:
        if contract["type"] == "layers":
            [container] = contract["containers"]
            rows = {name for layer in contract["layers"] for name in re.split(r"\s*[|:]\s*", layer)}
            folder = PACKAGE.parent / container.replace(".", "/")
            folders = {path.parent.name for path in folder.glob("*/__init__.py")}
            assert folders - rows - set(contract.get("exhaustive_ignores", ())) == set(), container


def test_hardly_any_import_of_ours_is_inside_a_function() -> None:
    local = {
        f"{shown(path)}:{statement.lineno}"
        for path in MODULES
        for function in functions(parsed(path))
        for statement in imports_of_ours(function)
    }
    assert len(local) <= MOST_LOCAL_IMPORTS, sorted(local)


# Protocols.


def data_members(protocol: type) -> set[str]:
    """Members that are no methods: annotated names and properties, the bases' included."""
    bases = [base for base in protocol.__mro__ if getattr(base, "_is_protocol", False)]
    annotated = {name for base in bases for name in inspect.get_annotations(base)}
    return annotated | {
        name
        for base in bases
        for name, value in vars(base).items()
        if not name.startswith("_")
        and not callable(value)
        and not isinstance(value, classmethod | staticmethod)
    }


def test_protocols_that_are_asked_at_run_time_have_methods_alone() -> None:
    """From Python 3.12 on, isinstance looks for their members by getattr_static: it sees no buffer of torch's."""
    asked = {cls for cls in classes() if getattr(cls, "_is_protocol", False) and cls._is_runtime_protocol}
    assert not {cls.__qualname__: found for cls in asked if (found := data_members(cls))}


# Tests.


def defines_something(path: Path) -> bool:
    """Whether a module holds a function or a class, so that there is something to test."""
    return any(isinstance(node, (*Function.__args__, ast.ClassDef)) for node in ast.walk(parsed(path)))


def test_tests_mirror_the_package() -> None:
    """cuvis_ai/a/b.py is tested by tests/a/test_b.py."""
    tested = {
        shown(path): (REPOSITORY / "tests" / path.relative_to(PACKAGE))
        .with_name(f"test_{path.name}")
        .is_file()
        for path in MODULES
        if path.name != "__init__.py" and defines_something(path)
    }
    missing = [path for path, there in tested.items() if not there]
    share = sum(tested.values()) / len(tested)
    assert share >= LEAST_MIRRORED, f"{share:.0%}, without a test file of their own: {', '.join(missing)}"
