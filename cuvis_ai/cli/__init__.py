"""The command `cuvis-ai`, and the run that it shares with the scripts in `examples_torch`."""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from cuvis_ai import __version__
from cuvis_ai.errors import ConfigError, CubeFormatError, DatasetNotFoundError, GraphError, MissingExtraError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from cuvis_ai.pipeline.graph import Graph
    from cuvis_ai.training.monitors import Monitor

logger = logging.getLogger(__name__)


@runtime_checkable
class HasScene(Protocol):
    """A data module cut from one scene, which it can give as a whole."""

    def scene(self) -> Any:
        """Return the scene as a batch of one."""


def run_config(config: "DictConfig") -> "Graph":
    """Train the graph that a configuration describes, print its metrics, and save graph and picture.

    Into `output_dir` go `config.yaml`, resolved, `trained_graph.zip` (or where `save_to` says) and
    `overview.png`. With `ckpt_path`, a file or `last`, training goes on from a checkpoint.

    Raises:
        ConfigError: lists every problem of the configuration; nothing is written then.
    """
    from omegaconf import OmegaConf
    from tqdm.contrib.logging import logging_redirect_tqdm

    from cuvis_ai.pipeline.build import build
    from cuvis_ai.training.engine.resume import find_checkpoint

    # Lightning's own lines (devices, tips) say nothing that ours do not.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, Mapping)
    settings: dict[str, Any] = {str(key): value for key, value in plain.items()}
    graph, datamodule, training = build(settings)
    output_dir = Path(settings.get("output_dir") or "outputs")
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "config.yaml").write_text(OmegaConf.to_yaml(config, resolve=True), encoding="utf-8")
    except OSError as err:
        raise ConfigError(
            f"output_dir: expected a folder that can be written to, got {str(output_dir)!r} "
            f"({err.strerror}). Choose another, or correct its permissions."
        ) from err
    with logging_redirect_tqdm():
        # What a checkpoint holds is not fitted again.
        checkpoint = find_checkpoint(settings.get("ckpt_path"), training.trainer)
        anew = checkpoint is None and training.trainer.max_epochs
        start = _at_statistical_start(graph, datamodule, training) if anew else {}
        trainer = graph.train(datamodule, training, ckpt_path=checkpoint)
    if trainer.is_global_zero:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if values:  # none, where a checkpoint left nothing to train
            end = {"after training" if training.trainer.max_epochs else "statistical phase": values}
            _print_table(graph.name, {"statistical start": start, **end} if start else end)
        target = Path(settings.get("save_to") or output_dir / "trained_graph.zip")
        graph.save_to_file(target)
        logger.info("Saved the graph to %s", target)
        _draw_overview(graph, datamodule, output_dir / "overview.png")
        _say_where_values_are(graph.monitors)
    return graph


def _draw_overview(graph: "Graph", datamodule: Any, path: Path) -> None:
    """Draw a cube in colour, its first three components and the mask; the whole scene where there is one."""
    import torch

    from cuvis_ai.node.base.abilities import Projects
    from cuvis_ai.training.visualizations.drawing.composite import draw_overview

    names = [name for name, node in graph.nodes.items() if isinstance(node, Projects)]
    if isinstance(datamodule, HasScene):
        batch = datamodule.scene()
    else:
        batch = next(iter(datamodule.val_dataloader()), None)
    if batch is None or not names:
        return
    valid, mask = batch.get("valid"), batch.get("mask")
    with torch.no_grad():
        scores = graph.run(batch["cube"], [names[0]], valid=valid)[names[0]]
    figure = draw_overview(
        batch["cube"][0].permute(1, 2, 0).numpy(),
        scores[0].permute(1, 2, 0).numpy(),
        None if mask is None else mask[0].numpy(),
        graph.bands.wavelengths,
    )
    figure.savefig(path, dpi=150)
    logger.info("Drew the first components to %s", path)


def run_or_exit(config: "DictConfig") -> None:
    """Call `run_config`; end the program with the message alone where the user can put it right."""
    try:
        run_config(config)
    except (ConfigError, GraphError, CubeFormatError, DatasetNotFoundError, MissingExtraError) as err:
        sys.exit(f"cuvis-ai: {err}")


def run_hydra(config_name: str) -> None:
    """Run a configuration of `cuvis_ai/conf`, or another that the command line names, with its overrides."""
    import hydra

    hydra.main(version_base="1.3", config_path="pkg://cuvis_ai.conf", config_name=config_name)(run_or_exit)()


def _at_statistical_start(graph: "Graph", datamodule: Any, training: Any) -> dict[str, float]:
    """Run the statistical phase by itself, unmonitored; return the validation values that it reaches."""
    from dataclasses import replace

    monitors, graph.monitors = graph.monitors, []
    try:
        only_statistics = replace(training, trainer=replace(training.trainer, max_epochs=0, callbacks=[]))
        trainer = graph.train(datamodule, only_statistics)
    finally:
        graph.monitors = monitors
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def _print_table(title: str, columns: Mapping[str, Mapping[str, float]]) -> None:
    """Print validation values, a column for each point in time; the last one's names are the rows."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{title}: validation", title_justify="left")
    table.add_column("value")
    for heading in columns:
        table.add_column(heading, justify="right")
    for name in (name for name in list(columns.values())[-1] if name.startswith("val/")):
        cells = (f"{values[name]:.5g}" if name in values else "" for values in columns.values())
        table.add_row(name.removeprefix("val/"), *cells)
    Console().print(table)


def _say_where_values_are(monitors: Sequence["Monitor"]) -> None:
    """Log where the monitors that write files have put what the run recorded."""
    from cuvis_ai.training.monitors import DummyMonitor, TensorBoardMonitor
    from cuvis_ai.training.monitors.report import ReportMonitor

    for monitor in monitors:
        if isinstance(monitor, DummyMonitor):
            logger.info("Values and pictures are in %s", monitor.output_dir)
        elif isinstance(monitor, TensorBoardMonitor):
            logger.info("TensorBoard shows the run: tensorboard --logdir=%s", monitor.log_dir)
        elif isinstance(monitor, ReportMonitor):
            logger.info("The report is %s; open it in a browser", monitor.path)


def _train(overrides: Sequence[str]) -> int:
    sys.argv = ["cuvis-ai train", *overrides]
    run_hydra("phase3_config")
    return 0


def _show(path: Path) -> int:
    from cuvis_ai.pipeline.graph import Graph

    print(Graph.load_from_file(path))
    return 0


def _convert(session: Path, folder: Path) -> int:
    from cuvis_ai.data.convert import convert

    for written in convert(session, folder):
        print(written)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="cuvis-ai", description="Turn hyperspectral cubes into trained, saved, monitored pipelines."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "train",
        help="train what a configuration describes, such as --config-name demo; train --help lists them",
        add_help=False,
    )
    show = commands.add_parser("show", help="print the structure of a saved graph")
    show.add_argument("file", type=Path, help="a zip that graph.save_to_file wrote")
    convert = commands.add_parser("convert", help="write the cubes of a .cu3s session as ENVI files")
    convert.add_argument("session", type=Path, help="the .cu3s file")
    convert.add_argument("folder", type=Path, help="where the ENVI files go")
    chosen, rest = parser.parse_known_args(arguments)
    if chosen.command == "train":
        return _train(rest)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if chosen.command == "show":
            return _show(chosen.file)
        return _convert(chosen.session, chosen.folder)
    except (ValueError, FileNotFoundError, CubeFormatError, MissingExtraError) as err:
        print(f"cuvis-ai: {err}", file=sys.stderr)
        return 1
