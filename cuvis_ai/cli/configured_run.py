"""The run of a configuration: train the graph, print its values, save it, draw an overview."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tqdm.contrib.logging import logging_redirect_tqdm

from cuvis_ai.cli.environment import resolved, texts_withheld, without_environment
from cuvis_ai.cli.output_folder import OutputFolder
from cuvis_ai.errors import escaped
from cuvis_ai.execution.batch_gate import with_cube
from cuvis_ai.node.base import Projects
from cuvis_ai.pipeline.build import build
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainingConfig
from cuvis_ai.training.engine.resume import find_checkpoint
from cuvis_ai.training.monitors.protocol import Locatable, Monitor
from cuvis_ai.training.monitors.records import readable
from cuvis_ai.training.visualizations.drawing.composite import draw_overview

logger = logging.getLogger(__name__)


@runtime_checkable
class HasScene(Protocol):
    """A data module cut from one scene, which it can give as a whole."""

    def scene(self) -> Any:
        """Return the scene as a batch of one."""


class Finished(NamedTuple):
    """What a run leaves: the graph, its last values by logged name, and the one that it watched.

    That is what the first callback with a `monitor` watches, else the total loss of the validation, or of the
    training where there is no validation; None in a run without losses.
    """

    graph: Graph
    values: Mapping[str, float]
    watched: float | None


def run_config(config: DictConfig, allow: Sequence[str] = ()) -> Finished:
    """Train the graph that a configuration describes, print its metrics, and save graph and picture.

    Into `output_dir` go `config.yaml`, resolved, `trained_graph.zip` (or where `save_to` says) and
    `overview.png`. With `ckpt_path`, a file or `last`, training goes on from a checkpoint; otherwise files of
    an earlier run in that folder are moved aside. A `config.yaml` that no run wrote stays.

    Args:
        config: composed, with its interpolations.
        allow: as in `build`.

    Raises:
        ConfigError: lists every problem of the configuration; nothing is written then.
    """
    # Lightning's own lines (devices, tips) say nothing that ours do not.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    settings = resolved(config)
    graph, datamodule, training = build(settings, allow)
    graph.withheld = texts_withheld(config)
    folder = OutputFolder(Path(settings.get("output_dir") or "outputs"), settings.get("save_to"))
    checkpoint = find_checkpoint(settings.get("ckpt_path"), training.trainer)
    resumes = checkpoint is not None and folder.goes_on(settings.get("ckpt_path"), checkpoint)
    with ExitStack() as held:
        if getattr(rank_zero_only, "rank", 0) == 0:  # further processes of the run find the folder prepared
            held.enter_context(folder.held(graph.monitors, training.trainer, resumes=resumes))
            folder.config.write_text(OmegaConf.to_yaml(without_environment(config)), encoding="utf-8")
        return _trained(graph, datamodule, training, checkpoint, folder)


def _trained(
    graph: Graph, datamodule: Any, training: TrainingConfig, checkpoint: Path | None, folder: OutputFolder
) -> Finished:
    with logging_redirect_tqdm():
        trainer = graph.train(datamodule, training, ckpt_path=checkpoint)
    values = {name: float(value) for name, value in trainer.callback_metrics.items()}
    if trainer.is_global_zero:
        _print_values(graph.name, values, trained=training.trainer.max_epochs > 0)
        graph.save_to_file(folder.graph)
        logger.info("Saved the graph to %s", folder.graph)
        _draw_overview(graph, datamodule, folder.overview)
        _say_where_values_are(graph.monitors)
    return Finished(graph, values, _watched(training, values))


def _watched(training: TrainingConfig, values: Mapping[str, float]) -> float | None:
    monitors = [getattr(callback, "monitor", None) for callback in training.trainer.callbacks]
    names = [*filter(None, monitors), "val/loss/total", "train/loss/total"]
    return next((values[name] for name in names if name in values), None)


def _print_values(title: str, end: Mapping[str, float], *, trained: bool) -> None:
    """Print validation values, a column for each point in time; those at the end are the rows."""
    if not end:  # a checkpoint left nothing to train
        return
    prefix = "start/"
    start = {f"val/{n.removeprefix(prefix)}": value for n, value in end.items() if n.startswith(prefix)}
    columns: dict[str, Mapping[str, float]] = {"statistical start": start} if start else {}
    columns["after training" if trained else "statistical phase"] = end
    table = Table(title=Text(escaped(f"{title}: validation"), style="table.title"), title_justify="left")
    table.add_column("value")
    for heading in columns:
        table.add_column(heading, justify="right")
    for name in (name for name in end if name.startswith("val/")):
        cells = (
            readable(name, values[name], digits=5) if name in values else "" for values in columns.values()
        )
        table.add_row(Text(escaped(name.removeprefix("val/"))), *cells)
    Console().print(table)


def _draw_overview(graph: Graph, datamodule: Any, path: Path) -> None:
    """Draw a cube in colour, its first three components and the mask; the whole scene where there is one."""
    names = [name for name, node in graph.nodes.items() if isinstance(node, Projects)]
    if isinstance(datamodule, HasScene):
        batch = datamodule.scene()
    else:
        batch = next(iter(datamodule.val_dataloader()), None)
    if batch is None or not names:
        return
    batch = with_cube(batch)
    with torch.no_grad():
        scores = graph.run(batch["cube"], names[:1], valid=batch.get("valid"))[names[0]]
    figure = draw_overview(
        batch["cube"][0].permute(1, 2, 0).numpy(),
        scores[0].permute(1, 2, 0).numpy(),
        batch["mask"][0].numpy() if "mask" in batch else None,
        graph.bands.wavelengths,
    )
    figure.savefig(path, dpi=150)
    logger.info("Drew the first components to %s", path)


def _say_where_values_are(monitors: Sequence[Monitor]) -> None:
    """Log where monitors have put what the run recorded."""
    for monitor in monitors:
        if isinstance(monitor, Locatable) and (line := monitor.where()) is not None:
            logger.info("%s", line)
