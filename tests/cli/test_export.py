"""`cuvis-ai export`, and `predict` with what it wrote: here, without torch, and in an environment of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.cli.command_line import main
from cuvis_ai.data.cube import read_cube
from tests.cli.test_predict import expected, work

__all__ = ["work"]  # a fixture
pytest.importorskip("onnx")

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from cuvis_ai.cli.command_line import main
status = main(sys.argv[1:])
assert not {"lightning", "jaxtyping", "hydra"} & set(sys.modules)
sys.exit(status)
"""


@pytest.fixture
def exported(work: Path) -> Path:
    given = ["--input", "int16", "--layout", "nhwc", "--no-data", "-9999"]
    assert main(["export", str(work / "graph.zip"), str(work / "model.onnx"), *given]) == 0
    return work


def scores(folder: Path) -> np.ndarray:
    return np.asarray(read_cube(folder / "a_scores.hdr").values[..., 0])


def given(work: Path) -> list[str]:
    return ["predict", "model.onnx", "scenes/a.hdr", "--out", "maps", "--mask", "--detections"]


def test_a_model_predicts_with_the_words_of_a_graph(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported)
    assert main(given(exported)) == 0
    np.testing.assert_allclose(scores(exported / "maps"), expected(), rtol=1e-4)
    facts = json.loads((exported / "maps" / "a_prediction.json").read_text())
    assert (facts["graph"], facts["threshold"], facts["detections"]) == ("rx", 100.0, 1)
    assert (exported / "maps" / "a.png").is_file()
    assert main(["predict", "graph.zip", "scenes/a.hdr", "--out", "by_graph", "--mask", "--detections"]) == 0
    np.testing.assert_allclose(scores(exported / "maps"), scores(exported / "by_graph"), rtol=1e-5)


def test_export_says_what_it_wrote(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = work / "model.onnx"
    assert main(["export", str(work / "graph.zip"), str(model), "--outputs", "rx_global"]) == 0
    assert f"{model}: {model.stat().st_size} bytes, agrees with the graph" in capsys.readouterr().out
    assert main(["export", str(work / "graph.zip"), str(model), "--outputs", "pca"]) == 1
    assert "outputs: expected some of rx_global, rx_global_detected" in capsys.readouterr().err


def test_arguments_that_need_the_graph_are_named(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(exported / "model.onnx"), str(exported / "scenes"), "--out", str(exported / "maps")]
    for more in (["--refit"], ["--masks", "truth"], ["--devices", "2"]):
        assert main(["predict", *arguments, *more]) == 1
        assert "need no graph" in capsys.readouterr().err


def test_prediction_with_a_model_imports_no_torch(exported: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *given(exported)],
        cwd=exported,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(scores(exported / "maps"), expected(), rtol=1e-4)
    assert "No pictures are drawn" in done.stderr


@pytest.mark.slow
def test_a_machine_without_torch_predicts(exported: Path, repository: Path) -> None:
    """An environment with NumPy, ONNX Runtime and our package, without its dependencies."""
    subprocess.run([sys.executable, "-m", "venv", exported / "venv"], check=True)
    python = exported / "venv" / "bin" / "python"
    constraint = ["--constraint", repository / "constraints.txt"]
    needed = ["numpy", "onnxruntime", "filelock", "typing_extensions", "scipy"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for install in ([*constraint, *needed], ["--no-deps", repository]):
        done = subprocess.run(
            [python, "-m", "pip", "install", "-q", *install], capture_output=True, text=True, env=environment
        )
        if done.returncode and "No matching distribution" in done.stderr:
            pytest.skip(f"needs a package index with {', '.join(needed)}")
        assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        [python, "-m", "pip", "list"], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert "torch" not in listed
    done = subprocess.run(
        [exported / "venv" / "bin" / "cuvis-ai", *given(exported)],
        cwd=exported,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(scores(exported / "maps"), expected(), rtol=1e-4)
