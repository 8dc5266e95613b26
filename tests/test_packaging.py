"""The package as a distribution: what it imports, documents, ships and pins."""

import ast
import importlib.metadata
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cuvis_ai

PACKAGE = Path(cuvis_ai.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# What `import cuvis_ai.pipeline.graph` must leave alone: each costs a good part of a second or is optional.
HEAVY = {
    "h5py",
    "hydra",
    "lightning",
    "matplotlib",
    "omegaconf",
    "pandas",
    "plotly",
    "pytorch_lightning",
    "rasterio",
    "rich",
    "scipy",
    "sklearn",
    "spectral",
    "tensorboard",
    "torchmetrics",
    "wandb",
    "zarr",
}


def _dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _pyproject(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text())


@pytest.mark.parametrize(
    "module",
    [
        "cuvis_ai",
        "cuvis_ai.anomaly.rx_detector",
        "cuvis_ai.node.pca",
        "cuvis_ai.normalization.normalization",
        "cuvis_ai.pipeline.graph",
    ],
)
def test_import_loads_nothing_heavy(module):
    program = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert not loaded & HEAVY


@pytest.mark.parametrize("path", [path for path in MODULES if path.read_text()], ids=_dotted)
def test_module_says_what_lives_in_it(path):
    assert ast.get_docstring(ast.parse(path.read_text())), f"{_dotted(path)} has no docstring"


def test_version_is_the_installed_one():
    assert importlib.metadata.version("cuvis_ai") == cuvis_ai.__version__


def test_wheel_carries_typing_marker_and_configuration(repository, tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    run = subprocess.run(build, cwd=repository, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (wheel,) = tmp_path.glob("*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    expected = [PACKAGE / "py.typed", *PACKAGE.rglob("*.yaml"), *MODULES]
    missing = {path.relative_to(PACKAGE.parent).as_posix() for path in expected} - shipped
    assert not missing


def test_constraints_pin_whatever_dev_installs(repository):
    """An unpinned package could change under a green build, or bring gigabytes of GPU libraries."""
    pins = {
        canonicalize_name(Requirement(line).name)
        for line in (repository / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    unpinned = _installed_closure("cuvis_ai", {"dev"}) - {"cuvis-ai"} - pins
    assert not unpinned


def _installed_closure(name: str, extras: set[str]) -> set[str]:
    """Names of the installed packages that `name[extras]` requires, directly or not."""
    seen: set[tuple[str, str]] = set()
    todo = [(canonicalize_name(name), extra) for extra in (*extras, "")]
    while todo:
        package, extra = todo.pop()
        if (package, extra) in seen:
            continue
        seen.add((package, extra))
        for line in importlib.metadata.requires(package) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                todo += [(canonicalize_name(needed.name), more) for more in (*needed.extras, "")]
    return {package for package, _ in seen}
