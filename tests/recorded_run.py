"""Small runs that go to monitors without a trainer: what the Lightning module calls, called directly."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.execution.execution import Execution
from cuvis_ai.leaf.bases import Attached, Picture, Visualization
from cuvis_ai.leaf.observer import Observer
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.node.selector import SoftChannelSelector
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.engine.facts import outline_of, weights_and_gradients
from cuvis_ai.training.engine.pictures import Pictures
from cuvis_ai.training.monitors import Monitor, Outline, OutlineNode, Recorder, Run
from cuvis_ai.training.special_visualization.selector_visualizations import (
    SelectorChannelMaskPlot,
    SelectorStabilityPlot,
    SelectorTemperaturePlot,
)
from cuvis_ai.training.visualizations import (
    AnomalyHeatmap,
    ComponentPlot,
    PCAVisualization,
    PrecisionRecallPlot,
    ScoreHistogram,
    SpectraPlot,
)
from tests.cubes import Batches, random_cubes

SETTINGS: dict[str, Any] = {
    "seed": 42,
    "trainer": {"max_epochs": 3, "callbacks": []},
    "optimizer": {"name": "adam", "lr": 0.001},
    "nodes": {"trainable_pca": {"class": "TrainablePCA", "n_components": 3}},
}
RUN = Run(name="run", settings=SETTINGS, structure="flowchart LR")
OUTLINE = Outline(nodes=(OutlineNode(name="pca", kind="PCA", arguments={}, parents=(), is_leaf=False),))
STEP = {"epoch": 2, "global_step": 30}
METHODS = ["setup", "log_graph", "log_scalars", "log_histograms", "log_figures", "log_text", "close"]
"""What `log_everything` calls of a monitor."""
WAVELENGTHS = torch.tensor([430.0, 455.0, 500.0, 552.0, 600.0, 638.0, 700.0])


def batches(n: int = 2, *, invalid: bool = False) -> list[dict[str, Any]]:
    """Return `n` batches of two cubes with masks; the second cube of the last has the most anomalies."""
    found = []
    for i in range(n):
        cube = random_cubes(2, 7, 12, 9, seed=i)
        mask = torch.zeros(2, 12, 9, dtype=torch.bool)
        mask[0, 2:4, 2:4] = True
        mask[1, 5 : 7 + i, 3:6] = True
        cube = torch.where(mask[:, None], cube + 9.0, cube)
        batch: dict[str, Any] = {
            "cube": cube.contiguous(memory_format=torch.channels_last),
            "mask": mask,
            "wavelengths": WAVELENGTHS,
            "name": [f"cube_{i}_0", f"cube_{i}_1"],
        }
        if invalid:
            batch["valid"] = torch.ones(2, 12, 9, dtype=torch.bool)
            batch["valid"][:, 4:6] = False
        found.append(batch)
    return found


def fitted_graph(leaves: bool = True) -> Graph:
    """Return MinMax, PCA and RX, fitted, with all pictures."""
    graph = Graph("small <graph>")
    normalizer = graph.add_node(MinMaxNormalizer())
    pca = graph.add_node(TrainablePCA(3, trainable=True), parent=normalizer)
    rx = graph.add_node(RXGlobal(), parent=pca)
    if leaves:
        graph.add_leaf_node(PCAVisualization(n_dims=3), parent=pca)
        graph.add_leaf_node(ComponentPlot(), parent=pca)
        graph.add_leaf_node(SpectraPlot(), parent=normalizer)
        for leaf in (AnomalyHeatmap(), ScoreHistogram(), PrecisionRecallPlot()):
            graph.add_leaf_node(leaf, parent=rx)
    quiet = TrainerConfig(max_epochs=0, accelerator="cpu", enable_progress_bar=False)
    graph.train(Batches(batches()), TrainingConfig(trainer=quiet))
    return graph


def selector_graph() -> Graph:
    """Return a choice of bands, fitted, with two epochs behind it and all its pictures."""
    graph = Graph("selector")
    selector = graph.add_node(SoftChannelSelector(3), name="selector")
    for leaf in (SelectorTemperaturePlot(), SelectorChannelMaskPlot(), SelectorStabilityPlot()):
        graph.add_leaf_node(leaf, parent=selector)
    quiet = TrainerConfig(max_epochs=0, accelerator="cpu", enable_progress_bar=False)
    graph.train(Batches(batches()), TrainingConfig(trainer=quiet))
    selector.record(0)
    selector.logits.data = torch.tensor([0.0, 0.0, 3.0, 0.0, 2.0, 0.0, 1.0])
    selector.update_temperature(1)
    selector.record(1)
    return graph


def execution_of(graph: Graph) -> Execution:
    """Return how the graph's nodes are evaluated."""
    return Execution(graph.topology, dict(graph.nodes.items()))  # type: ignore[arg-type]


def attached_pictures(graph: Graph) -> list[Attached[Visualization]]:
    """Return the graph's pictures and their parents."""
    return graph._members.attached(Visualization)  # type: ignore[type-abstract]


def validate(pictures: Pictures, seen: Sequence[dict[str, Any]], epoch: int, *, last: bool) -> None:
    """Run a validation epoch."""
    observer = Observer(pictures.execution)
    pictures.start(observer, last=last)
    for batch in seen:
        points = (*pictures.points(), *observer.points())
        evaluation = pictures.execution.evaluate(batch["cube"], points, batch.get("valid"))
        observer.update(evaluation, batch)
        pictures.collect(evaluation, batch)
    observer.finish()
    pictures.finish(observer, "val", epoch=epoch, global_step=10 * (epoch + 1))


class CollectedPictures:
    """Stands for a recorder, and collects pictures with their leaf and epoch, without rendering them."""

    active = True

    def __init__(self) -> None:
        self.pictures: list[tuple[str, int, Picture]] = []

    def figures(
        self, pictures: Sequence[tuple[str, Picture]], stage: str, *, epoch: int, global_step: int
    ) -> None:
        self.pictures += [(leaf, epoch, picture) for leaf, picture in pictures]


def drawn(graph: Graph, seen: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the arrays of each picture of one epoch."""
    collected = CollectedPictures()
    pictures = Pictures(execution_of(graph), attached_pictures(graph), collected)  # type: ignore[arg-type]
    validate(pictures, seen, 0, last=True)
    return {picture.name: picture.data for _, _, picture in collected.pictures}


def scores_and_truth(graph: Graph, seen: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of all valid pixels, and whether they are anomalies."""
    scores = [graph(batch["cube"], valid=batch.get("valid")).output[:, 0] for batch in seen]
    valid = [torch.isfinite(one) for one in scores]
    finite = [one[v].double().numpy() for one, v in zip(scores, valid, strict=True)]
    truth = [batch["mask"][v].numpy() for batch, v in zip(seen, valid, strict=True)]
    return np.concatenate(finite), np.concatenate(truth)


def record(
    graph: Graph, monitors: Sequence[Monitor], *, epochs: int = 3, first: int = 0, failed: bool = False
) -> Recorder:
    """Record a run in which nothing is trained, but values differ from epoch to epoch."""
    execution, recorder = execution_of(graph), Recorder(monitors)
    pictures = Pictures(execution, attached_pictures(graph), recorder)
    recorder.setup(
        Run(name=graph.name, settings=SETTINGS, structure=graph.mermaid(), resumed_epoch=first or None)
    )
    recorder.graph(outline_of(execution, graph.leaves))
    graph.nodes["trainable_pca"].prepare_for_train()  # type: ignore[operator]
    for epoch in range(first, first + epochs):
        step = {"epoch": epoch, "global_step": 10 * (epoch + 1)}
        recorder.scalars({"train/loss/total_step": 1.0 / (1 + epoch)}, "train", **step, per_step=True)
        for parameter in graph.parameters():
            parameter.grad = torch.ones_like(parameter)
        recorder.histograms(weights_and_gradients(graph.nodes.named_parameters()), **step)
        validate(pictures, batches(), epoch, last=epoch == first + epochs - 1)
        # The best epoch is the second: 0.5 and 0.25 and 0.75 have no rounding.
        losses = {"val/loss/total": [0.5, 0.25, 0.75][epoch % 3], "val/metric/anomaly_f1": np.sqrt(epoch)}
        shares = {f"val/metric/explained_variance_{k}": v for k, v in (("pc1", 0.7), ("total", 0.9))}
        recorder.scalars({**losses, **shares}, "val", **step, per_step=False)
        recorder.scalars({"train/loss/total": 0.5}, "train", **step, per_step=False)
    recorder.facts("data_set", {"cubes": 4, "share": 0.25})
    recorder.close(failed=failed)
    return recorder


class Kept:
    """A monitor of a user's own, which has the methods and no base, and keeps everything."""

    def __init__(self, fails_at: str | None = None, error: BaseException | None = None) -> None:
        self.fails_at = fails_at
        self.error = error or RuntimeError("no disk left")
        self.calls: list[tuple[str, Any]] = []

    def _keep(self, name: str, what: Any) -> None:
        if name == self.fails_at:
            raise self.error
        self.calls.append((name, what))

    def setup(self, run: Any) -> None:
        self._keep("setup", run)

    def log_scalars(self, scalars: Any) -> None:
        self._keep("log_scalars", scalars)

    def log_figures(self, figures: Any) -> None:
        self._keep("log_figures", figures)

    def log_histograms(self, histograms: Any) -> None:
        self._keep("log_histograms", histograms)

    def log_text(self, text: Any) -> None:
        self._keep("log_text", text)

    def log_graph(self, outline: Any) -> None:
        self._keep("log_graph", outline)

    def close(self, ending: Any) -> None:
        self._keep("close", ending)

    def of(self, name: str) -> list[Any]:
        return [what for called, what in self.calls if called == name]

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


def picture(name: str = "picture") -> Picture:
    """Return a small picture."""
    figure = Figure(figsize=(2, 1), dpi=50)
    figure.add_subplot().plot([1, 2])
    return Picture(name, figure, {"line": np.array([1.0, 2.0])})


def log_everything(recorder: Recorder, *, failed: bool = False) -> None:
    """Record one of each kind of record, in the order of `METHODS`."""
    recorder.setup(RUN)
    recorder.graph(OUTLINE)
    recorder.scalars({"val/loss/total": 0.5}, "val", **STEP, per_step=False)
    recorder.histograms({"train/weight/w": np.arange(5.0)}, **STEP)
    recorder.figures([("leaf", picture())], "val", **STEP)
    recorder.text("facts", "text")
    recorder.close(failed=failed)
