"""Which classes a file or configuration may name."""

import sys
from pathlib import Path

import pytest
from lightning.pytorch import Callback

from cuvis_ai.errors import ConfigError
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.saving.class_path import class_path, resolve


@pytest.mark.parametrize("path", ["cuvis_ai.node.pca:TrainablePCA", "cuvis_ai.node.pca.TrainablePCA"])
def test_both_forms_resolve(path: str) -> None:
    assert resolve(path, (Node,)) is TrainablePCA
    assert class_path(TrainablePCA) == "cuvis_ai.node.pca:TrainablePCA"


REFUSED = [
    (7, "expected a string"),
    ("", "form"),
    ("TrainablePCA", "form"),
    ("os.system", "expected a class of cuvis_ai"),
    ("cuvis_ai_evil.node.Bad", "expected a class of cuvis_ai"),
    ("lightning.pytorch.callbacks.model_checkpoint.torch.load", "expected a class of cuvis_ai"),
    ("cuvis_ai.pipeline.saving.archive.os.system", "no module"),
    ("cuvis_ai.node.pca.torch", "defines no class"),
    ("cuvis_ai.node.pca.Affine", "defined in `cuvis_ai.functional.affine`"),
    ("cuvis_ai.pipeline.graph.Graph", "expected a Node"),
    ("cuvis_ai.node.base.Node", "expected a Node"),
    ("cuvis_ai.node.pca:Trainable PCA", "form"),
]


@pytest.mark.parametrize(("path", "message"), REFUSED)
def test_refused(path: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(path, (Node,))


def test_an_allowed_prefix_does_not_reach_a_foreign_function() -> None:
    with pytest.raises(ConfigError, match=r"no module|defined in"):
        resolve("lightning.pytorch.callbacks.model_checkpoint.torch.load", (Callback,), ["lightning"])


def test_refused_package_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "untrusted_package.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"allow=\['untrusted_package'\]"):
        resolve("untrusted_package.Bad", (Node,))
    assert "untrusted_package" not in sys.modules


def test_allowed_package_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "from cuvis_ai.node.base import Node\nclass Mine(Node):\n    def forward(self, cube):\n        return cube\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve("mine.Mine", (Node,), ["mine"]).__name__ == "Mine"
