"""The package as a distribution: what it imports, documents, ships and pins."""

import ast
import contextlib
import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

import cuvis_ai
from cuvis_ai.errors import DISTRIBUTION
from cuvis_ai.node.base import Node
from tests.found import final_classes
from tests.installed import closure
from tests.test_docs import blocks

PACKAGE = Path(cuvis_ai.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# What `import cuvis_ai.pipeline.graph` and the nodes may bring; all else costs time or is optional.
LIGHT = ("torch", "jaxtyping", "safetensors", "filelock")

# The tutorial's import paths, which users rely on.
FIXED = {
    "cuvis_ai.anomaly.rx_detector": ["RXGlobal"],
    "cuvis_ai.anomaly.rx_logit_head": ["RXLogitHead"],
    "cuvis_ai.data.lentils_anomaly": ["LentilsAnomaly"],
    "cuvis_ai.node.pca": ["TrainablePCA"],
    "cuvis_ai.normalization.normalization": ["MinMaxNormalizer"],
    "cuvis_ai.pipeline.graph": ["Graph"],
    "cuvis_ai.training.config": ["OptimizerConfig", "SchedulerConfig", "TrainerConfig", "TrainingConfig"],
    "cuvis_ai.training.losses": [
        "AnomalyBCEWithLogits",
        "MSEReconstructionLoss",
        "OrthogonalityLoss",
        "WeightedMultiLoss",
    ],
    "cuvis_ai.training.metrics": [
        "AnomalyDetectionMetrics",
        "ComponentOrthogonalityMetric",
        "ExplainedVarianceMetric",
        "ScoreStatisticsMetric",
    ],
    "cuvis_ai.training.monitors": ["DummyMonitor", "TensorBoardMonitor", "WandBMonitor"],
    "cuvis_ai.training.visualizations": ["AnomalyHeatmap", "PCAVisualization", "ScoreHistogram"],
}


def _dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _loaded(*modules: str) -> set[str]:
    """Packages that a fresh process holds once it has imported these modules."""
    program = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_importing_the_graph_and_all_nodes_loads_nothing_heavy():
    nodes = sorted({cls.__module__ for cls in final_classes(Node)})
    assert "cuvis_ai.node.pca" in nodes
    brought = _loaded("cuvis_ai.pipeline.graph", *nodes) - _loaded(*LIGHT) - sys.stdlib_module_names
    assert brought == {"cuvis_ai"}


@pytest.mark.parametrize(("module", "names"), FIXED.items(), ids=FIXED)
def test_import_path_of_the_tutorial_stays(module, names):
    missing = [name for name in names if not hasattr(importlib.import_module(module), name)]
    assert not missing


def test_import_paths_of_the_specification_are_all_listed(shared):
    specification = shared / "spec" / "phase3_gradient_training.md"
    if not specification.is_file():
        pytest.skip("needs the specification in ../shared/spec, which is missing")
    imported = {
        (node.module, alias.name)
        for block in blocks(specification)
        if block.language == "python"
        for node in ast.walk(ast.parse(block.text))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("cuvis_ai")
        for alias in node.names
    }
    targets = re.findall(r"_target_: (cuvis_ai[\w.]+)\.(\w+)", specification.read_text(encoding="utf-8"))
    listed = {(module, name) for module, names in FIXED.items() for name in names}
    assert imported | set(targets) <= listed


@pytest.mark.parametrize("path", [path for path in MODULES if path.read_text()], ids=_dotted)
def test_module_says_what_lives_in_it(path):
    assert ast.get_docstring(ast.parse(path.read_text())), f"{_dotted(path)} has no docstring"


def test_version_is_the_installed_one():
    assert importlib.metadata.version(DISTRIBUTION) == cuvis_ai.__version__


def test_project_has_the_name_that_every_hint_gives(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert project["name"] == DISTRIBUTION
    assert canonicalize_name(DISTRIBUTION) != canonicalize_name(
        PACKAGE.name
    )  # another project's, on the index


def test_name_of_the_distribution_stands_once_in_the_package():
    holding = {_dotted(path) for path in MODULES if DISTRIBUTION in path.read_text(encoding="utf-8")}
    assert holding == {"cuvis_ai.errors"}


def _requirements(text: str) -> Iterator[Requirement]:
    """Yield what commands in a text install by name: `pip install "name[extra]"`, over continued lines."""
    for command in re.findall(r"pip install ((?:[^`\n\\]|\\\n)*)", text):
        for word in re.findall(r"[^\s\\'\"]+", command.partition("#")[0]):
            with contextlib.suppress(InvalidRequirement):
                yield Requirement(word)


def test_commands_that_install_are_understood():
    text = """`pip install "a-b[c,d]"`, pip install -U e \\\n    f>=1 ./path '.[dev]'  # g\npip install h"""
    found = [(one.name, one.extras) for one in _requirements(text)]
    assert found == [("a-b", {"c", "d"}), ("e", set()), ("f", set()), ("h", set())]


def test_no_hint_installs_the_other_project_of_the_index(repository):
    """Whoever follows one gets this project, whose import name another distribution has, too."""
    pages = [
        path for folder in (".", "docs", "docs/tutorials") for path in (repository / folder).glob("*.md")
    ]
    texts = {
        path.name: path.read_text(encoding="utf-8") for path in (*pages, repository / "Makefile", *MODULES)
    }
    asked = {
        (name, canonicalize_name(one.name)) for name, text in texts.items() for one in _requirements(text)
    }
    assert ("your_data.md", DISTRIBUTION) in asked
    assert not {(name, one) for name, one in asked if one == canonicalize_name(PACKAGE.name)}
    assert not {name for name, text in texts.items() if re.search(r"(?i)cuvis[-_.]?ai\[(?!\W)", text)}


def test_every_package_that_is_imported_is_a_dependency(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    imported = {
        name.partition(".")[0]
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    }
    provided_by = importlib.metadata.packages_distributions()
    third_party = imported - sys.stdlib_module_names - {"cuvis_ai"}
    assert not {
        name
        for name in third_party
        if declared.isdisjoint(map(canonicalize_name, provided_by.get(name, [name])))
    }


def test_every_extra_is_asked_for_by_name_and_every_name_is_an_extra(repository):
    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    source = "".join(path.read_text() for path in MODULES)
    asked = set(re.findall(r'import_extra\(\s*"[\w.]+",\s*"(\w+)"', source))
    assert asked == set(extras) - {"dev", "docs"}


def test_constraints_pin_whatever_dev_installs(repository):
    """An unpinned package could change under a green build, or bring gigabytes of GPU libraries."""
    pins = {
        canonicalize_name(Requirement(line).name)
        for line in (repository / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    unpinned = closure(DISTRIBUTION, "dev") - {DISTRIBUTION} - pins
    assert not unpinned
