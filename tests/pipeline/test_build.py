"""From configurations to graphs, data modules and settings."""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from lightning.pytorch.callbacks import EarlyStopping
from omegaconf import OmegaConf

import cuvis_ai.conf
from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.build import KNOWN_KEYS, build
from cuvis_ai.pipelines import supervised
from cuvis_ai.training.config import TrainingConfig
from cuvis_ai.training.monitors import DummyMonitor
from tests.lentils import write_lentils
from tests.test_docs import blocks

CONF = Path(cuvis_ai.conf.__file__).parent

MINMAX = {"_target_": "cuvis_ai.normalization.normalization.MinMaxNormalizer"}
PCA = {"_target_": "cuvis_ai.node.pca.TrainablePCA", "n_components": 3, "trainable": True}
RX = {"_target_": "cuvis_ai.anomaly.rx_detector.RXGlobal"}
ORTHOGONALITY = {"_target_": "cuvis_ai.training.losses.OrthogonalityLoss"}
VARIANCE = {"_target_": "cuvis_ai.training.metrics.ExplainedVarianceMetric"}
DUMMY = {"_target_": "cuvis_ai.training.monitors.DummyMonitor", "output_dir": "artifacts"}
LENTILS = {"_target_": "cuvis_ai.data.lentils_anomaly.LentilsAnomaly", "data_dir": "Lentils"}
STOPPING = {
    "_target_": "lightning.pytorch.callbacks.early_stopping.EarlyStopping",
    "monitor": "val/loss/total",
}


def config(**changes: Any) -> dict[str, Any]:
    """Return a configuration that builds, with parts of it exchanged."""
    plain = {
        "graph": {"name": "small"},
        "nodes": {"normalizer": MINMAX, "pca": PCA, "rx": RX},
        "loss_leaves": {"orthogonality": ORTHOGONALITY},
        "metric_leaves": {"variance": VARIANCE},
        "monitoring": {"dummy": DUMMY},
        "datamodule": LENTILS,
        "training": {"seed": 1, "trainer": {"max_epochs": 2}, "optimizer": {"lr": 0.01}},
    }
    return deepcopy({**plain, **changes})


def parents(built_config: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return dict(build(built_config).graph.topology.parents)


def problems(broken: Mapping[str, Any], allow: Any = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        build(broken, allow)
    return str(caught.value)


# What is built.


def test_everything_in_the_configuration_is_built() -> None:
    built = build(config())
    assert built.graph.name == "small"
    assert list(built.graph.leaves) == ["orthogonality", "variance"]
    [monitor] = built.graph.monitors
    assert isinstance(monitor, DummyMonitor)
    assert monitor.output_dir == "artifacts"
    assert type(built.datamodule).__name__ == "LentilsAnomaly"
    assert built.training == TrainingConfig.from_mapping(config()["training"])


def test_nodes_follow_each_other_in_the_order_given() -> None:
    assert parents(config()) == {"normalizer": (), "pca": ("normalizer",), "rx": ("pca",)}


@pytest.mark.parametrize(
    ("parent", "expected"),
    [("normalizer", ("normalizer",)), (["pca", "normalizer"], ("pca", "normalizer"))],
    ids=["one", "several"],
)
def test_parent_can_be_named(parent: object, expected: tuple[str, ...]) -> None:
    nodes = {"normalizer": MINMAX, "pca": PCA, "rx": {**RX, "parent": parent}}
    assert parents(config(nodes=nodes))["rx"] == expected


def test_building_leaves_the_configuration_as_it_was() -> None:
    given = config(nodes={"normalizer": MINMAX, "pca": {**PCA, "parent": "normalizer"}})
    before = deepcopy(given)
    build(given)
    assert given == before


TWO_PCAS = {"normalizer": MINMAX, "pca": PCA, "second": {**PCA, "n_components": 2}}


def test_leaf_is_attached_to_the_only_node_of_the_right_kind() -> None:
    topology = build(config()).graph.topology
    assert topology.leaves == {"orthogonality": "pca", "variance": "pca"}


def test_leaf_that_fits_several_nodes_of_a_chain_is_attached_to_the_last(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        topology = build(config(nodes=TWO_PCAS, metric_leaves={})).graph.topology
    assert topology.leaves == {"orthogonality": "second"}
    assert "`loss_leaves.orthogonality`: attached to `second`, the last of pca, second" in caplog.text


def test_leaf_that_fits_nodes_of_several_branches_asks_for_one() -> None:
    branches = {**TWO_PCAS, "second": {**TWO_PCAS["second"], "parent": "normalizer"}}
    text = problems(config(nodes=branches, metric_leaves={}))
    assert text == (
        "`loss_leaves.orthogonality`: expected one node that OrthogonalityLoss can be attached to, or several of "
        "one chain, got pca, second. Add `parent: <name of a node>`."
    )


def test_leaf_with_several_possible_parents_takes_the_named_one() -> None:
    leaves = {"orthogonality": {**ORTHOGONALITY, "parent": "second"}}
    built = build(config(nodes=TWO_PCAS, loss_leaves=leaves, metric_leaves={}))
    assert built.graph.topology.leaves == {"orthogonality": "second"}


def test_leaf_without_a_possible_parent_says_so() -> None:
    text = problems(config(nodes={"normalizer": MINMAX}, metric_leaves={}))
    assert "`loss_leaves.orthogonality`: expected one node" in text
    assert "got none" in text


def test_what_is_not_enabled_is_left_out_unseen() -> None:
    off = {"enabled": False, "_target_": "os.system"}
    built = build(
        config(
            loss_leaves={"orthogonality": {**ORTHOGONALITY, "enabled": True}, "other": off},
            monitoring={"dummy": {**DUMMY, "enabled": False}, "other": off},
        )
    )
    assert list(built.graph.leaves) == ["orthogonality", "variance"]
    assert built.graph.monitors == []


def test_callbacks_are_made_from_their_description() -> None:
    trainer = {"max_epochs": 2, "callbacks": [{**STOPPING, "patience": 7}]}
    [callback] = build(config(training={"trainer": trainer})).training.trainer.callbacks
    assert isinstance(callback, EarlyStopping)
    assert (callback.monitor, callback.patience) == ("val/loss/total", 7)


# What is refused.

WITHOUT_TARGET = "expected a mapping with `_target_: package.module.Class`"
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("top level", {"node": {}}, "`node`: unknown key. Did you mean `nodes`?"),
    ("graph", {"graph": {"nme": "x"}}, "`graph.nme`: unknown key. Did you mean `name`?"),
    ("node", {"nodes": {"pca": {**PCA, "n_component": 3}}}, "`nodes.pca.n_component`: unknown key. Did you mean `n_components`?"),
    ("leaf", {"loss_leaves": {"o": {**ORTHOGONALITY, "wieght": 1}}}, "`loss_leaves.o.wieght`: unknown key. Did you mean `weight`?"),
    ("monitor", {"monitoring": {"d": {**DUMMY, "output_dr": "x"}}}, "`monitoring.d.output_dr`: unknown key. Did you mean `output_dir`?"),
    ("data module", {"datamodule": {**LENTILS, "batchsize": 1}}, "`datamodule.batchsize`: unknown key. Did you mean `batch_size`?"),
    ("training", {"training": {"sed": 1}}, "`training.sed`: unknown key. Did you mean `seed`?"),
    ("trainer", {"training": {"trainer": {"max_epoch": 1}}}, "`training.trainer.max_epoch`: unknown key. Did you mean `max_epochs`?"),
    ("optimizer", {"training": {"optimizer": {"learning_rate": 1}}}, "`training.optimizer.learning_rate`: unknown key. Known keys: name, lr"),
    ("callback", {"training": {"trainer": {"callbacks": [{**STOPPING, "patiance": 1}]}}}, "`training.trainer.callbacks[0].patiance`: unknown key. Did you mean `patience`?"),
    ("graph that is no mapping", {"graph": "small"}, "`graph`: expected a mapping, got 'small'"),
    ("leaves that are a list", {"loss_leaves": [ORTHOGONALITY]}, "`loss_leaves`: expected a mapping, got [{"),
    ("training that is a number", {"training": 3}, "`training`: expected a mapping, got 3"),
    ("no nodes", {"nodes": {}}, "`nodes`: missing"),
    ("no data module", {"datamodule": {}}, f"`datamodule`: {WITHOUT_TARGET}"),
    ("node without target", {"nodes": {"pca": {"n_components": 3}}}, f"`nodes.pca`: {WITHOUT_TARGET}"),
    ("node that is no mapping", {"nodes": {"pca": "TrainablePCA"}}, "`nodes.pca`: expected a mapping with `_target_`, got 'TrainablePCA'"),
    ("monitor that is no mapping", {"monitoring": {"dummy": "DummyMonitor"}}, "`monitoring.dummy`: expected a mapping with `_target_`, got 'DummyMonitor'"),
    ("impossible value", {"nodes": {"pca": {**PCA, "n_components": 0}}}, "n_components: expected a whole number, 1 or more, got 0"),
    ("wrong type", {"nodes": {"pca": {**PCA, "n_components": "three"}}}, "`nodes.pca`: `n_components`: expected an integer, got 'three'"),
    ("missing argument", {"nodes": {"pca": {"_target_": PCA["_target_"]}}}, "n_components"),
    ("unknown parent", {"nodes": {"normalizer": MINMAX, "pca": {**PCA, "parent": "nobody"}}}, "`nobody` is not in this graph"),
    ("leaf with two parents", {"loss_leaves": {"o": {**ORTHOGONALITY, "parent": ["pca", "rx"]}}}, "`loss_leaves.o`: `parent`: expected a string or null, got ['pca', 'rx']"),
    ("leaf whose parent is a number", {"loss_leaves": {"o": {**ORTHOGONALITY, "parent": 5}}}, "`loss_leaves.o`: `parent`: expected a string or null, got 5"),
    ("node whose parent is a number", {"nodes": {"normalizer": MINMAX, "pca": {**PCA, "parent": 5}}}, "`nodes.pca`: `parent`: expected a string or a list or null, got 5"),
    ("node with a number in its parents", {"nodes": {"normalizer": MINMAX, "pca": {**PCA, "parent": ["normalizer", 5]}}}, "got ['normalizer', 5]"),
    ("node named by a number", {"nodes": {5: MINMAX}}, "`nodes`: expected names as keys, got 5"),
    ("callbacks that are a number", {"training": {"trainer": {"callbacks": 5}}}, "`training.trainer`: `callbacks`: expected a list or null, got 5"),
    ("what Lightning refuses", {"training": {"trainer": {"callbacks": [{"_target_": "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint", "every_n_epochs": -5}]}}}, "Invalid value for every_n_epochs=-5"),
    ("monitor with a list for a text", {"monitoring": {"d": {**DUMMY, "output_dir": ["x"]}}}, "`output_dir`: expected a string or a path"),
    ("output folder that is a number", {"output_dir": 5}, "`output_dir`: expected a string or a path or null, got 5"),
    ("arguments by position", {"nodes": {"pca": {**PCA, "_args_": [3]}}}, "`nodes.pca._args_`: Hydra's `_args_` is not used here"),
    ("a class that is not called", {"monitoring": {"d": {**DUMMY, "output_dir": {"_partial_": True}}}}, "`monitoring.d.output_dir._partial_`"),
    ("leaf on a wrong parent", {"loss_leaves": {"o": {**ORTHOGONALITY, "parent": "normalizer"}}}, "expected a parent with components"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [pytest.param(*row[1:], id=row[0]) for row in REFUSED],
)
def test_refused_with_its_place(changes: dict[str, Any], message: str) -> None:
    assert message in problems(config(**changes))


FORBIDDEN = [
    ("a function", "os.system", "expected a class of cuvis_ai"),
    ("another package", "subprocess.Popen", "expected a class of cuvis_ai"),
    ("a name that begins like ours", "cuvis_ai_evil.node.Node", "expected a class of cuvis_ai"),
    ("what a module of ours imports", "cuvis_ai.node.pca.torch.load", "there is no module"),
    ("a class that is imported there", "cuvis_ai.node.pca.Moments", "is defined in"),
    ("a function of ours", "cuvis_ai.functional.eigen.whitening", "defines no class"),
    ("a class of another kind", "cuvis_ai.training.config.TrainerConfig", "expected a Node"),
    ("an abstract class", "cuvis_ai.node.base.Node", "expected a Node, got Node"),
    ("a missing module", "cuvis_ai.node.pcaa.TrainablePCA", "there is no module"),
    ("no path", 7, "expected a string"),
]


@pytest.mark.parametrize(
    ("target", "message"), [row[1:] for row in FORBIDDEN], ids=[row[0] for row in FORBIDDEN]
)
def test_target_that_is_not_a_node_of_ours_is_refused(target: object, message: str) -> None:
    text = problems(config(nodes={"node": {"_target_": target}}))
    assert text.startswith("`nodes.node`: class path")
    assert message in text


@pytest.mark.parametrize(
    "target",
    [
        "lightning.pytorch.callbacks.model_checkpoint.torch.load",
        "lightning.pytorch.trainer.trainer.Trainer",
        "os.system",
    ],
)
def test_callback_that_is_not_lightnings_is_refused(target: str) -> None:
    callbacks = [{"_target_": target}]
    assert "`training.trainer.callbacks[0]`: class path" in problems(
        config(training={"trainer": {"callbacks": callbacks}})
    )


BAD = {"_target_": "marker_of_hydra.Bad"}


@pytest.mark.parametrize(
    "changes",
    [
        {"nodes": {"bad": BAD}},
        {"loss_leaves": {"bad": BAD}},
        {"metric_leaves": {"bad": BAD}},
        {"visualization_leaves": {"bad": BAD}},
        {"monitoring": {"bad": BAD}},
        {"datamodule": BAD},
        {"training": {"trainer": {"callbacks": [BAD]}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_refused_target_is_not_imported(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marker_of_hydra.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert "'marker_of_hydra.Bad': expected a class of" in problems(config(**changes))
    assert "marker_of_hydra" not in sys.modules


def test_allow_opens_the_named_package_alone() -> None:
    target = {"_target_": "tests.cubes.Batches", "train": []}
    assert "If you trust that package" in problems(config(datamodule=target))
    assert "`datamodule`" not in problems(config(datamodule=target, nodes={}), allow=["tests"])
    assert "expected a class of cuvis_ai, other" in problems(config(datamodule=target), allow=["other"])


def test_a_configuration_cannot_allow_itself_anything() -> None:
    text = problems(config(datamodule={"_target_": "tests.cubes.Batches", "train": []}, allow=["tests"]))
    assert "`allow`: expected on the command line or in Python, got ['tests'] in the configuration" in text
    assert "`datamodule`: class path 'tests.cubes.Batches': expected a class of cuvis_ai." in text


@pytest.mark.parametrize("allow", ["tests", 5, [5]])
def test_allowed_packages_are_a_list_of_names(allow: Any) -> None:
    assert "`allow`" in problems(config(), allow=allow)


def test_all_problems_are_raised_at_once() -> None:
    text = problems(
        config(
            nodess={},
            loss_leaves={"one": {"_target_": "os.system"}, "two": {**ORTHOGONALITY, "parent": "nobody"}},
            metric_leaves={"three": {**VARIANCE, "x": 1}},
            monitoring={"four": {"_target_": "os.system"}, "five": {"_target_": "os.system"}},
            datamodule={**LENTILS, "batchsize": 1},
            training={"trainer": {"max_epoch": 1}, "optimizer": {"lr": -1}},
        )
    )
    places = re.findall(r"`((?:\w+\.)*\w+)`: ", text)
    assert {"nodess", "loss_leaves.one", "loss_leaves.two", "metric_leaves.three.x", "monitoring.four",
            "monitoring.five", "datamodule.batchsize", "training.trainer.max_epoch", "lr"} <= set(places)  # fmt: skip


def test_bad_settings_hide_no_bad_callback() -> None:
    trainer = {"max_epoch": 1, "callbacks": [{"_target_": "os.system"}, {**STOPPING, "patiance": 1}]}
    text = problems(config(training={"trainer": trainer}))
    for place in ("training.trainer.max_epoch", "training.trainer.callbacks[0]", "callbacks[1].patiance"):
        assert place in text


def test_several_bad_nodes_are_all_named() -> None:
    text = problems(config(nodes={"a": {**MINMAX, "ep": 1}, "b": {**PCA, "n_components": 0}}))
    assert "`nodes.a.ep`" in text
    assert "n_components: expected a whole number, 1 or more" in text


# The configurations that come with the package.

COMPLETE = {
    "phase3_config": "explained_variance_total",
    "phase3_rx_head": "explained_variance_total",
    "phase3_supervised": "anomaly_auroc",
    "demo": "anomaly_auroc",
}
"""Those of phase 3, and a validation value above one half."""


def composed(name: str, *overrides: str) -> dict[str, Any]:
    with initialize_config_module(version_base="1.3", config_module="cuvis_ai.conf"):
        plain = OmegaConf.to_container(compose(name, list(overrides)), resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def test_every_configuration_is_in_these_tests() -> None:
    # The first says at its top that it is not run by itself; the others are in test_examples.
    parts = {"general", "phase1_config", "phase2_config", "detect", "phase4_config", "phase4_bands"}
    assert {path.stem for path in CONF.glob("*.yaml")} == {*COMPLETE, *parts}


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_says_at_its_top_what_it_is_for(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines[:2] if line.startswith("#") and "@package" not in line]
    assert comments
    if path.stem in COMPLETE:
        assert re.match(r"# python examples_torch/\w+\.py", comments[0])


@pytest.mark.parametrize("name", COMPLETE)
def test_configuration_trains_one_epoch(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_ROOT", str(write_lentils(tmp_path / "Lentils", height=16, width=20).folder))
    settings = composed(
        name, "training.trainer.max_epochs=1", *([] if name == "phase3_config" else ["data=lentils"])
    )
    built = build(settings)
    trainer = built.graph.train(built.datamodule, built.training)
    assert trainer.current_epoch == 1
    assert float(trainer.callback_metrics[f"val/metric/{COMPLETE[name]}"]) > 0.5
    with torch.no_grad():
        assert torch.isfinite(built.graph(torch.rand(1, 61, 4, 5)).output).all()


def test_phase3_supervised_is_the_ready_graph() -> None:
    built, ready = build(composed("phase3_supervised")).graph, supervised()
    assert repr(built) == repr(ready)
    assert built.mermaid() == ready.mermaid()


@pytest.mark.parametrize("group", sorted(path.stem for path in (CONF / "data").glob("*.yaml")))
def test_data_group_builds(group: str) -> None:
    made = build(composed("demo", f"data={group}")).datamodule
    assert (
        type(made).__name__
        == {
            "indian_pines": "IndianPines",
            "lentils": "LentilsAnomaly",
            "folder": "CubeFolder",
            "scene": "SceneTiles",
        }[group]
    )


def test_phase3_config_is_the_one_that_the_tutorial_prints(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATA_ROOT", raising=False)
    page = shared / "spec" / "phase3_gradient_training.md"
    [printed] = [block for block in blocks(page) if block.language == "yaml"]
    expected = OmegaConf.to_container(OmegaConf.create(printed.text))
    ours = OmegaConf.to_container(OmegaConf.load(CONF / "phase3_config.yaml"))
    assert isinstance(expected, dict)
    assert isinstance(ours, dict)
    # By default the printed folder; it moves with `output_dir`.
    assert ours["monitoring"]["dummy"]["output_dir"] == "${output_dir}/artifacts"
    ours["monitoring"]["dummy"]["output_dir"] = "./outputs/artifacts"
    assert ours == expected
    del expected["defaults"]
    expected["datamodule"]["data_dir"] = "./data/Lentils"
    expected["training"]["trainer"]["default_root_dir"] = "./outputs"  # moves with `output_dir`, too
    assert {**composed("phase3_config"), **expected} == composed("phase3_config")
    assert set(composed("phase3_config")) <= set(KNOWN_KEYS)


# Malformed values.

MALFORMED = [
    None, True, 0, -1, 3.0, float("nan"), float("inf"), 10**30, "", "x", [], [1], ["a"], [[]], {}, {"a": 1}, {1: 2},
    {"_target_": "x"}, {"_target_": 5}, [None], [{}],
]  # fmt: skip


def places(part: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the keys that lead to each value of a configuration."""
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in items:
        yield (*place, key)
        yield from places(value, (*place, key))


def changed(place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return a full configuration with another value at one place."""
    broken = full()
    part: Any = broken
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    return broken


def full() -> dict[str, Any]:
    trainer = {"max_epochs": 2, "accelerator": "cpu", "devices": 1, "callbacks": [STOPPING]}
    return config(
        nodes={"normalizer": MINMAX, "pca": {**PCA, "parent": "normalizer"}, "rx": {**RX, "parent": ["pca"]}},
        metric_leaves={"variance": {**VARIANCE, "parent": "pca", "enabled": True}},
        training={"seed": 1, "trainer": trainer, "optimizer": {"lr": 0.01}, "scheduler": {"patience": 3}},
        allow=[], output_dir="outputs", save_to="graph.zip", ckpt_path="last",
    )  # fmt: skip


@pytest.mark.parametrize("place", list(places(full())), ids=lambda place: ".".join(map(str, place)))
def test_a_malformed_value_is_taken_or_refused_by_its_place(place: tuple[Any, ...]) -> None:
    for value in MALFORMED:
        try:
            build(changed(place, value))
        except ConfigError as err:
            said = str(err)
        else:
            continue
        assert any(str(key) in said for key in place if isinstance(key, str)), (value, said)


@pytest.mark.parametrize("broken", [None, True, 3, "nodes", [1], [{}], [("nodes", 1)]])
def test_what_is_no_mapping_is_no_configuration(broken: Any) -> None:
    assert (
        problems(broken)
        == f"configuration: expected a mapping with `nodes` and `datamodule`, got {broken!r}."
    )


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("allow",), "tests", "`allow`: expected a list or null, got 'tests'."),
        (("graph", "name"), 5, "`graph.name`: expected a string, got 5."),
        (("nodes", 7), MINMAX, "`nodes`: expected names as keys, got 7."),
        (("nodes", "rx", "parent"), [1], "`nodes.rx`: `parent`: expected a string or"),
        (("metric_leaves", "variance", "enabled"), "no", "`metric_leaves.variance`: `enabled`: expected true or false"),
        (("training", "trainer", "callbacks"), 5, "`training.trainer`: `callbacks`: expected"),
        (("training", "trainer", "accelerator"), [1], "TrainerConfig: `accelerator`: expected a string, got [1]."),
        (("training", "trainer", "devices"), 0.5, "TrainerConfig: `devices`: expected"),
        (("training", "optimizer", "lr"), float("inf"), "OptimizerConfig: `lr`: expected a finite number, got inf."),
        (("training", "seed"), 10**30, "TrainingConfig: `seed`: expected an integer"),
        (("datamodule", "batch_size"), 2.0, "`datamodule`: `batch_size`: expected an integer, got 2.0."),
        (("loss_leaves", "orthogonality", "weight"), "1", "`loss_leaves.orthogonality`: `weight`: expected a finite"),
        (("output_dir",), 5, "`output_dir`: expected a string or a path or null, got 5."),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_named(place: tuple[Any, ...], value: Any, message: str) -> None:
    assert message in problems(changed(place, value))
