"""The specification's tutorial, run as printed: its ten steps, its other blocks, its command lines.

Its blocks are read from ../shared/spec; where that folder is missing, these tests are skipped and say so.
"""

import ast
import contextlib
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from cuvis_ai.data.lentils_anomaly import LentilsAnomaly
from cuvis_ai.leaf.bases import Loss
from cuvis_ai.node.decoder import PCADecoder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import MSEReconstructionLoss, OrthogonalityLoss
from cuvis_ai.training.metrics import ExplainedVarianceMetric
from cuvis_ai.training.monitors import DummyMonitor
from cuvis_ai.training.visualizations import PCAVisualization
from tests.cubes import Batches, as_batches, random_cubes
from tests.lentils import write_lentils
from tests.test_docs import Block, blocks, commands, run_block, run_script
from tests.wandb_files import fresh_wandb, history, offline_records

__all__ = ["fresh_wandb"]  # a fixture

Namespace = dict[str, Any]

STEPS = "Tutorial: Training Trainable PCA"
AGGREGATION = "Loss Aggregation"
MONITORING = "Production Monitoring Integration"
COMMANDS = "Run with CLI Overrides"


@pytest.fixture(scope="session")
def specification(shared: Path) -> Path:
    path = shared / "spec" / "phase3_gradient_training.md"
    if not path.is_file():
        pytest.skip("needs the specification in ../shared/spec, which is missing")
    return path


def under(path: Path, heading: str, language: str) -> list[Block]:
    """Return the blocks of a language that stand under a heading, or under one inside it."""
    return [block for block in blocks(path) if heading in block.headings and block.language == language]


# Steps 1 to 10.


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the ten steps left behind."""

    folder: Path
    namespace: Namespace
    printed: dict[str, str]
    """Standard output by step."""
    logged: list[str]
    """The messages of the package's loggers."""


class _Messages(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture(scope="module")
def told(specification: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """The ten steps, run once as printed; only `datamodule`, which step 9 leaves unbound, is added."""
    folder = tmp_path_factory.mktemp("steps")
    write_lentils(folder / "data" / "Lentils")
    namespace: Namespace = {"__name__": "tutorial"}
    printed: dict[str, str] = {}
    handler, logger = _Messages(), logging.getLogger("cuvis_ai")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with contextlib.chdir(folder):
            for block in under(specification, STEPS, "python"):
                step = block.headings[-1].partition(":")[0]
                if step == "Step 9":
                    namespace["datamodule"] = namespace["LentilsAnomaly"](
                        data_dir="./data/Lentils", batch_size=4, num_workers=0
                    )
                with contextlib.redirect_stdout(io.StringIO()) as output:
                    run_block(block, specification, namespace)
                printed[step] = output.getvalue()
            yield Told(folder=folder, namespace=namespace, printed=printed, logged=handler.messages)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def rows(folder: Path) -> list[dict[str, Any]]:
    with (folder / "outputs" / "artifacts" / "metrics.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_all_ten_steps_ran(told: Told) -> None:
    assert list(told.printed) == [f"Step {number}" for number in range(1, 11)]


def test_step_7_trains_ten_epochs_and_returns_the_trainer(told: Told) -> None:
    trainer = told.namespace["trainer"]
    assert isinstance(trainer, Trainer)
    assert trainer.current_epoch == 10
    assert "Epoch 10/10: 100%" in told.printed["Step 7"]


@pytest.mark.parametrize(
    "message",
    [
        r"Starting training with config: TrainingConfig\(seed=42, ",
        r"Phase 1: Initializing statistical nodes\.\.\.",
        r"  Initialized MinMaxNormalizer",
        r"  Initialized TrainablePCA",
        r"  Explained variance: \[\d+\.\d%, \d+\.\d%, \d+\.\d%\] = \d+\.\d% total",
        r"Phase 1 complete in \d+\.\d seconds",
        r"Phase 2: Preparing trainable nodes\.\.\.",
        r"  Converting components of TrainablePCA .* to nn\.Parameters",
        r"  train/loss/orthogonality: 0",
        r"  val/metric/explained_variance_total: \d+\.\d%",
        r"Training complete in ",
        r"Best validation loss: 0 at epoch 0 \(1st of \d+\)$",
    ],
)
def test_step_7_prints(told: Told, message: str) -> None:
    assert any(re.match(message, line) for line in told.logged), "\n".join(told.logged)


def test_step_7_leaves_the_weights_at_their_statistical_start(told: Told) -> None:
    namespace = told.namespace
    start = Graph("start")
    normalizer = start.add_node(MinMaxNormalizer(eps=1e-6))
    pca = start.add_node(TrainablePCA(n_components=3), parent=normalizer)
    start.train(
        LentilsAnomaly(data_dir=told.folder / "data" / "Lentils"),
        replace(namespace["config"], trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False)),
    )
    assert isinstance(namespace["pca"].components, nn.Parameter)
    # Bit-equal would be a promise about the order in which a shuffled stream is summed.
    torch.testing.assert_close(namespace["pca"].components.detach(), pca.components, rtol=0, atol=1e-6)


def test_step_8_prints_the_orthogonality_of_the_first_epochs(told: Told) -> None:
    lines = told.printed["Step 8"].splitlines()
    assert len(lines) == 5
    for line in lines:
        assert re.fullmatch(r"Epoch \d+: (start|train|val)/\w+/\w*orthogonality\w* = \d\.\d{4}", line)


def test_step_8_errors_stay_below_a_hundredth_in_every_epoch(told: Told) -> None:
    errors = {
        row["epoch"]: row["value"]
        for row in rows(told.folder)
        if row["name"] == "val/metric/component_orthogonality_error"
    }
    assert sorted(errors) == list(range(10))
    assert max(errors.values()) < 0.01


def test_step_9_prints_scores_of_three_components(told: Told) -> None:
    n_test, height, width = 2, 32, 40  # of 12 cubes 20 %; the size that tests/lentils.py writes
    assert told.namespace["pc_scores"].shape == (n_test, 3, height, width)
    assert f"PC scores shape: torch.Size([{n_test}, 3, {height}, {width}])" in told.printed["Step 9"]


def test_step_9_gram_matrix_is_close_to_identity(told: Told) -> None:
    assert "Components gram matrix:\ntensor([[" in told.printed["Step 9"]
    torch.testing.assert_close(told.namespace["gram"].detach(), torch.eye(3), rtol=0, atol=1e-5)


def test_step_10_loaded_graph_gives_bit_equal_scores(told: Told) -> None:
    assert (told.folder / "trainable_pca_trained.zip").is_file()
    assert torch.equal(told.namespace["loaded_scores"], told.namespace["pc_scores"])


# The other Python blocks.


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A small graph, started from components pushed off the manifold, after training."""

    pca: TrainablePCA
    trainer: Trainer
    errors: tuple[float, float]
    """‖W Wᵀ − I‖ before and after."""


def small_graph(push: float, loss: Loss | None = None) -> tuple[Graph, TrainablePCA, Batches]:
    """Return a graph fitted to small cubes, its components then pushed off the manifold."""
    graph = Graph("small")
    normalizer = graph.add_node(MinMaxNormalizer())
    pca = graph.add_node(TrainablePCA(3, trainable=True), parent=normalizer)
    graph.add_leaf_node(loss or OrthogonalityLoss(), parent=pca)
    data = Batches(as_batches(random_cubes(8)), as_batches(random_cubes(4, seed=1)))
    graph.train(data, TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False)))
    pca.set_state(components=pca.components + push * torch.randn_like(pca.components))
    return graph, pca, data


def trained(config: TrainingConfig, push: float = 0.01) -> Trained:
    """Train a small graph, and assert that this brought the components nearer to orthonormal."""
    graph, pca, data = small_graph(push)
    before = error_of(pca)
    trainer = graph.train(data, config)
    after = error_of(pca)
    assert after < before
    return Trained(pca=pca, trainer=trainer, errors=(before, after))


def error_of(pca: TrainablePCA) -> float:
    components = pca.components.detach()
    return float((components @ components.T - torch.eye(3)).norm())


def is_parameter(config: TrainingConfig, pca: TrainablePCA) -> bool:
    """Return whether the components of a PCA are a parameter after training."""
    graph = Graph("frozen_or_not")
    graph.add_node(pca)
    graph.add_leaf_node(OrthogonalityLoss(), parent=pca)
    graph.train(Batches(as_batches(random_cubes(4))), config)
    return bool(list(graph.named_parameters()))


def check_frozen_and_trainable(namespace: Namespace) -> None:
    config = TrainingConfig(trainer=TrainerConfig(max_epochs=1, enable_progress_bar=False))
    assert not is_parameter(config, namespace["pca_frozen"])
    assert is_parameter(config, namespace["pca_trainable"])


def check_metrics(namespace: Namespace) -> None:
    """Metrics are logged, and change nothing of what is trained."""
    config = TrainingConfig(trainer=TrainerConfig(max_epochs=3, enable_progress_bar=False))
    plain, pca, data = small_graph(push=0.1)
    torch.manual_seed(0)
    with_metrics, measured, _ = small_graph(push=0.1)
    measured.set_state(components=pca.components)
    with_metrics.add_leaf_node(namespace["var_metric"], parent=measured)
    with_metrics.add_leaf_node(namespace["orth_metric"], parent=measured)
    plain.train(data, config)
    trainer = with_metrics.train(data, config)
    names = {name.removeprefix("val/metric/") for name in trainer.callback_metrics if "val/metric" in name}
    assert names == {
        *(f"explained_variance_{which}" for which in ("pc1", "pc2", "pc3", "total")),
        "component_orthogonality_error",
    }
    assert torch.equal(measured.components, pca.components)


def check_early_stopping(namespace: Namespace) -> None:
    run = trained(namespace["config"])
    assert run.errors[1] < 1e-5  # the loss is 0 from 8 k ε = 3e-6 on
    assert 10 < run.trainer.current_epoch < 100


def check_checkpoints(namespace: Namespace) -> None:
    trained(namespace["config"])
    names = sorted(path.name for path in Path("checkpoints").iterdir())
    assert len(names) == 3
    for name in names:
        assert re.fullmatch(r"best-epoch=\d\d-val_loss=0\.00\.ckpt", name)
    saved = torch.load(Path("checkpoints") / names[0], weights_only=True)
    assert saved["state_dict"]["nodes.trainable_pca.components"].shape == (3, 7)


class _GradientNorms(Callback):
    """Keeps the norm of the gradient that each step used."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        gradients = [p.grad.flatten() for p in pl_module.parameters() if p.grad is not None]
        self.norms.append(float(torch.cat(gradients).norm()))


def check_clipping(namespace: Namespace) -> None:
    config, norms = namespace["config"], {}
    for limit in (None, config.trainer.gradient_clip_val):
        watch = _GradientNorms()
        limited = replace(config.trainer, gradient_clip_val=limit, callbacks=[watch])
        trained(replace(config, trainer=limited), push=0.5)
        norms[limit] = max(watch.norms)
    assert norms[None] > 2.0
    assert norms[1.0] == pytest.approx(1.0, abs=1e-4)


def check_mixed_precision(namespace: Namespace) -> None:
    run = trained(namespace["config"])
    assert run.trainer.precision in {"16-mixed", "bf16-mixed"}  # Lightning takes bfloat16 on a CPU
    assert run.pca.components.dtype is torch.float32


def check_batch_size(namespace: Namespace) -> None:
    [batch] = LentilsAnomaly("data/Lentils", batch_size=namespace["batch_size"]).train_dataloader()
    assert batch["cube"].shape == (8, 61, 16, 20)  # 60 % of 12 cubes, and what is left over


def check_workers(namespace: Namespace) -> None:
    parallel = list(namespace["datamodule"].train_dataloader())
    alone = list(LentilsAnomaly(batch_size=8, num_workers=0).train_dataloader())
    assert [batch["name"] for batch in parallel] == [batch["name"] for batch in alone]
    assert torch.equal(parallel[0]["cube"], alone[0]["cube"])


def with_masks_and_labels(n: int = 4) -> Batches:
    cubes = random_cubes(n)
    mask = (torch.arange(n * 30) % 7 == 0).view(n, 6, 5)
    batches = as_batches(cubes, mask=mask, labels=cubes)
    return Batches(batches, batches)


def check_loss_types(namespace: Namespace) -> None:
    """All three losses train one graph; the combined loss, which the block hangs nowhere, adds up."""
    config = TrainingConfig(trainer=TrainerConfig(max_epochs=2, enable_progress_bar=False))
    trainer = namespace["graph"].train(with_masks_and_labels(), config)
    values = {name: float(value) for name, value in trainer.callback_metrics.items()}
    total = sum(
        weight * values[f"val/loss/{name}"]
        for name, weight in (("orthogonality", 1.0), ("reconstruction", 0.5), ("bce", 1.0))
    )
    assert values["val/loss/total"] == pytest.approx(total, rel=1e-6)
    assert float(namespace["multi_loss"].combine(torch.tensor([2.0, 4.0]))) == 1.0 * 2.0 + 0.5 * 4.0


def check_metric_types(namespace: Namespace) -> None:
    config = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))
    trainer = namespace["graph"].train(with_masks_and_labels(), config)
    names = {name.removeprefix("val/metric/") for name in trainer.callback_metrics}
    assert {f"explained_variance_{which}" for which in ("pc1", "pc2", "pc3", "total")} <= names
    assert {f"anomaly_{which}" for which in ("precision", "recall", "f1", "iou")} <= names
    assert {f"score_{which}" for which in ("mean", "std", "min", "max", "q25", "q50", "q75")} <= names
    assert "component_orthogonality_error" in names


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading of the specification whose Python blocks run, one after the other, in one namespace."""

    heading: str
    check: Callable[[Namespace], None]
    """Asserts what the section promises; runs in the blocks' folder, which holds data/Lentils."""
    prelude: str = ""
    """What the blocks take for granted."""


CONFIGS = "from cuvis_ai.training.config import OptimizerConfig, TrainerConfig, TrainingConfig"
METRICS = "from cuvis_ai.training.metrics import ComponentOrthogonalityMetric, ExplainedVarianceMetric"
PCA = "from cuvis_ai.node.pca import TrainablePCA"
LENTILS = "from cuvis_ai.data.lentils_anomaly import LentilsAnomaly"

LOSS_TYPES = """
from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.node.decoder import PCADecoder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.losses import OrthogonalityLoss
graph = Graph("losses")
pca = graph.add_node(TrainablePCA(n_components=3, trainable=True))
decoder_node = graph.add_node(PCADecoder(tied_to=pca), parent=pca)
"""
METRIC_TYPES = f"""
{METRICS}
from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
graph = Graph("metrics")
pca = graph.add_node(TrainablePCA(n_components=3))
rx = graph.add_node(RXGlobal(), parent=pca)
"""

SECTIONS = [
    Section(heading="Trainable vs Frozen Nodes", prelude=PCA, check=check_frozen_and_trainable),
    Section(heading="Metric Tracking", prelude=METRICS, check=check_metrics),
    Section(heading="Early Stopping", prelude=CONFIGS, check=check_early_stopping),
    Section(heading="Model Checkpointing", prelude=CONFIGS, check=check_checkpoints),
    Section(heading="Gradient Clipping", prelude=CONFIGS, check=check_clipping),
    Section(heading="Mixed Precision Training", prelude=CONFIGS, check=check_mixed_precision),
    Section(heading="Batch Size Tuning", check=check_batch_size),
    Section(heading="Worker Parallelism", prelude=LENTILS, check=check_workers),
    Section(heading="Loss Types", prelude=LOSS_TYPES, check=check_loss_types),
    Section(heading="Metric Types", prelude=METRIC_TYPES, check=check_metric_types),
]


# torch's hint on a machine of fewer than four cores; the specification asks for four workers.
@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes:UserWarning")
@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.heading)
def test_section_runs(
    section: Section, specification: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lentils(tmp_path / "data" / "Lentils", height=16, width=20)
    namespace: Namespace = {"__name__": "section"}
    exec(section.prelude, namespace)
    found = under(specification, section.heading, "python")
    assert found
    for block in found:
        run_block(block, specification, namespace)
    section.check(namespace)


def test_every_python_block_has_its_place(specification: Path) -> None:
    places = {STEPS, AGGREGATION, MONITORING, *(section.heading for section in SECTIONS)}
    homeless = [
        block.headings
        for block in blocks(specification)
        if block.language == "python" and ast.parse(block.text).body and not places & {*block.headings}
    ]
    assert not homeless


def test_losses_are_aggregated_as_printed(specification: Path) -> None:
    """The block multiplies losses by numbers, which stands for their values: those are what is put in."""
    [block] = under(specification, AGGREGATION, "python")
    *made, total = ast.parse(block.text).body
    namespace: Namespace = {
        "OrthogonalityLoss": OrthogonalityLoss,
        "MSEReconstructionLoss": MSEReconstructionLoss,
    }
    exec(compile(ast.Module(made, []), str(specification), "exec"), namespace)
    graph, pca, data = small_graph(push=0.1, loss=namespace["orth_loss"])
    decoder = graph.add_node(PCADecoder(tied_to=pca), parent=pca)
    graph.add_leaf_node(namespace["recon_loss"], parent=decoder)
    trainer = graph.train(
        data, TrainingConfig(trainer=TrainerConfig(max_epochs=2, enable_progress_bar=False))
    )
    values = {name: float(value) for name, value in trainer.callback_metrics.items()}
    logged = {"orth_loss": values["val/loss/orthogonality"], "recon_loss": values["val/loss/reconstruction"]}
    assert min(logged.values()) > 0
    exec(compile(ast.Module([total], []), str(specification), "exec"), logged)
    assert values["val/loss/total"] == pytest.approx(logged["total_loss"], rel=1e-5)


def test_production_monitoring_runs_without_an_account(
    specification: Path, fresh_wandb: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As printed, with nobody logged in: one warning, and both trackers hold what the files hold."""
    monkeypatch.chdir(fresh_wandb)
    monkeypatch.setenv("HOME", str(fresh_wandb))  # no login of the machine's user
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    graph, pca, data = small_graph(push=0.1)
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    graph.add_leaf_node(PCAVisualization(log_frequency=1), parent=pca)
    graph.register_monitor(DummyMonitor("artifacts"))
    for block in under(specification, MONITORING, "python"):
        run_block(block, specification, {"graph": graph})
    settings = TrainerConfig(max_epochs=2, enable_progress_bar=False, log_every_n_steps=1)
    with caplog.at_level(logging.WARNING, "cuvis_ai"):
        graph.train(data, TrainingConfig(trainer=settings))
    warned = [one for one in caplog.records if one.levelno >= logging.WARNING]
    [warning] = [one.getMessage() for one in warned if one.name.startswith("cuvis_ai")]
    assert "records this run offline" in warning
    assert "wandb login" in warning

    written = [json.loads(line) for line in Path("artifacts/metrics.jsonl").read_text().splitlines()]
    assert {"train/loss/total_step", "val/loss/total", "val/metric/explained_variance_total"} <= {
        row["name"] for row in written
    }
    records = list(offline_records(fresh_wandb))
    sent = history(records)
    assert {(row["name"], row["step"]): row["value"] for row in written}.items() <= sent.items()
    [run] = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert (run.project, run.entity, run.display_name) == (
        "cuvis_ai_production", "my_team", "phase3_trainable_pca"
    )  # fmt: skip
    folder = Path("outputs/tensorboard") / graph.name
    events = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    for row in written:
        assert np.float32(row["value"]) in {
            event.value for event in events.Scalars(row["name"]) if event.step == row["step"]
        }
    tags = events.Tags()
    assert any(name.startswith("train/gradient") for name in tags["histograms"])
    assert tags["images"]
    assert {node.name for node in events.Graph().node} >= {"min_max_normalizer", "trainable_pca"}


# Command lines.


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command line of the specification, found by the comment above it."""

    comment: str
    epochs: int = 10
    settings: dict[str, Any]
    """What the run's config.yaml says, by dotted name."""
    leaves: str = "outputs/trained_graph.zip"
    """A file that the run leaves behind, as a pattern."""


COMMAND_LINES = [
    Command(comment="Use defaults", settings={"training.optimizer.lr": 0.001}),
    Command(comment="More epochs, higher learning rate", epochs=20, settings={"training.optimizer.lr": 0.01}),
    Command(comment="Enable mixed precision for speed", settings={"training.trainer.precision": "16-mixed"}),
    Command(
        comment="Enable WandB",
        settings={"monitoring.wandb.enabled": True},
        leaves="wandb/offline-run-*/run-*.wandb",
    ),
]


@pytest.fixture(scope="module")
def lentils(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lentils(tmp_path_factory.mktemp("data") / "Lentils", height=16, width=20).folder


@pytest.mark.slow
@pytest.mark.parametrize("expected", COMMAND_LINES, ids=lambda command: command.comment)
def test_command_line_runs(expected: Command, specification: Path, lentils: Path, tmp_path: Path) -> None:
    [block] = under(specification, COMMANDS, "bash")
    sections = re.split(r"^# ", block.text, flags=re.MULTILINE)
    [text] = [section for section in sections if section.startswith(expected.comment)]
    [command] = commands(block._replace(text=f"# {text}"))
    done = run_script(command, tmp_path, DATA_ROOT=str(lentils), WANDB_MODE="offline")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    config = OmegaConf.load(tmp_path / "outputs" / "config.yaml")
    for name, value in expected.settings.items():
        assert OmegaConf.select(config, name) == value
    assert max(row["epoch"] for row in rows(tmp_path)) == expected.epochs - 1
    assert list(tmp_path.glob(expected.leaves))
    assert list(Graph.load_from_file(tmp_path / "outputs" / "trained_graph.zip").nodes) == [
        "normalizer",
        "pca",
    ]


def test_every_command_line_has_a_row(specification: Path) -> None:
    [block] = under(specification, COMMANDS, "bash")
    assert re.findall(r"^# (.+)$", block.text, re.MULTILINE) == [one.comment for one in COMMAND_LINES]
    [again] = under(specification, "Complete Example", "bash")
    assert commands(again) == commands(block)[:1]  # the row "Use defaults"


SCRIPT = "python examples_torch/phase3_gradient_training.py"


@pytest.mark.slow
def test_help_lists_the_settings_and_the_data_groups(tmp_path: Path) -> None:
    done = run_script(f"{SCRIPT} --help", tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("data: folder, indian_pines, lentils", "max_epochs: 10", "TrainablePCA"):
        assert part in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        # A key that the file does not have is Hydra's to refuse; one that is added, ours.
        ("training.trainer.max_epoch=3", ["Did you mean `max_epochs`?"]),
        (
            "+training.trainer.max_epoch=3 training.optimizer.lr=-1",
            [
                "`training.trainer.max_epoch`: unknown key. Did you mean `max_epochs`?",
                "`lr`: expected a number above 0",
            ],
        ),
        ("datamodule.data_dir=nowhere", ["nowhere, got no such folder"]),
    ],
    ids=["misspelt", "added and impossible", "no data"],
)
def test_wrong_overrides_are_refused_by_name_and_nothing_is_saved(
    overrides: str, messages: list[str], lentils: Path, tmp_path: Path
) -> None:
    done = run_script(f"{SCRIPT} {overrides}", tmp_path, DATA_ROOT=str(lentils))
    assert done.returncode != 0
    for message in messages:
        assert message in done.stderr
    assert not list(tmp_path.glob("outputs/*.zip"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "bands"), [("indian_pines", 200), ("lentils", 61), ("folder", 61)], ids=lambda value: str(value)
)
def test_demo_runs_on_every_data_group(data: str, bands: int, lentils: Path, tmp_path: Path) -> None:
    done = run_script(
        f"{SCRIPT} --config-name demo data={data} training.trainer.max_epochs=1",
        tmp_path,
        DATA_ROOT=str(lentils),
    )
    assert done.returncode == 0, done.stderr
    graph = Graph.load_from_file(tmp_path / "outputs" / "trained_graph.zip")
    with torch.no_grad():
        assert graph(torch.rand(1, bands, 4, 4)).output.shape == (1, 1, 4, 4)
    assert {row["name"] for row in rows(tmp_path)} >= {
        "val/loss/total",
        "val/metric/anomaly_auroc",
    }
    assert "Phase 1: Initializing statistical nodes..." in done.stdout
    assert "statistical start" in done.stdout
    assert (tmp_path / "outputs" / "overview.png").is_file()
    assert "The report is outputs/report.html" in done.stdout
    assert "<h1>supervised</h1>" in (tmp_path / "outputs" / "report.html").read_text(encoding="utf-8")
