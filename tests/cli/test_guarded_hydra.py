"""What configuration files and overrides may say to Hydra; nothing is imported or made of what is refused."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.types import RunMode
from omegaconf import DictConfig

from cuvis_ai.cli.guarded_hydra import GuardedLoader
from cuvis_ai.errors import ConfigError

EVIL = {"_target_": "evil_module.run"}
"""A module in the folder of each test, which ends the program when it is imported."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "evil_module"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "other.yaml").write_text("graph: {name: other}")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def search_path(folder: Path) -> ConfigSearchPath:
    path = create_config_search_path("pkg://cuvis_ai.conf")
    path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
    return path


def composed(
    folder: Path, content: dict[str, Any] | str, *overrides: str, mode: RunMode = RunMode.RUN
) -> DictConfig:
    """Return what Hydra composes of a file and overrides."""
    text = content if isinstance(content, str) else yaml.safe_dump(content) if content else ""
    (folder / "mine.yaml").write_text(f"defaults: [phase1_config, _self_]\n{text}")
    return GuardedLoader(search_path(folder)).load_configuration("mine", list(overrides), mode)


def refusal(folder: Path, content: dict[str, Any] | str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        composed(folder, content, *overrides)
    assert "evil_module" not in sys.modules
    return str(caught.value)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "callback": ({"callbacks": {"x": EVIL}}, "hydra.callbacks.x._target_"),
    "callback by interpolation": ({"callbacks": {"x": "${graph}"}}, "hydra.callbacks.x"),
    "callbacks by interpolation": ({"callbacks": "${graph}"}, "hydra.callbacks"),
    "filter": ({"job_logging": {"filters": {"x": {"()": "evil_module.run"}}}}, "hydra.job_logging.filters.x.()"),
    "handler": ({"job_logging": {"handlers": {"x": {"class": "evil_module.H"}}}}, "handlers.x.class"),
    "formatter": ({"hydra_logging": {"formatters": {"x": {"class": "evil_module.F"}}}}, "formatters.x.class"),
    "stream": ({"job_logging": {"handlers": {"console": {"stream": "ext://evil_module.x"}}}}, "console.stream"),
    "logging by interpolation": ({"job_logging": {"filters": "${graph}"}}, "hydra.job_logging.filters"),
    "stream by interpolation": ({"job_logging": {"handlers": {"console": {"stream": "${graph.name}"}}}}, "stream"),
    "log into any file": ({"job_logging": {"handlers": {"file": {"filename": "profile"}}}}, "file.filename"),
    "launcher": ({"launcher": EVIL}, "hydra.launcher._target_"),
    "launcher by interpolation": ({"launcher": {"x": "${graph}"}}, "hydra.launcher.x"),
    "shell lines of a launcher": ({"launcher": {"setup": ["touch ran"]}}, "hydra.launcher.setup.0"),
    "python of a launcher": ({"launcher": {"python": "./evil"}}, "hydra.launcher.python"),
    "sampler of a sweeper": ({"sweeper": {"sampler": EVIL}}, "hydra.sweeper.sampler._target_"),
    "function of a sweeper": ({"sweeper": {"custom_search_space": "evil_module.run"}}, "custom_search_space"),
    "swept key of Hydra": ({"sweeper": {"params": {"+hydra.callbacks.x._target_": "evil_module.run"}}}, "params"),
    "swept key of Hydra, added": ({"sweeper": {"params": {"++hydra.verbose": "true"}}}, "params"),
    "swept allow": ({"sweeper": {"params": {"allow": "[evil_module]"}}}, "hydra.sweeper.params.allow"),
    "environment": ({"job": {"env_set": {"LD_PRELOAD": "evil.so"}}}, "hydra.job.env_set.LD_PRELOAD"),
    "environment, copied": ({"job": {"env_copy": ["HOME"]}}, "hydra.job.env_copy.0"),
    "package": ({"searchpath": ["pkg://evil_module"]}, "hydra.searchpath"),
    "run time": ({"runtime": {"cwd": "/"}}, "hydra.runtime.cwd"),
    "partial": ({"sweeper": {"_partial_": True}}, "hydra.sweeper._partial_"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_may_name_no_code_for_hydra(name: str, folder: Path) -> None:
    content, place = REFUSED[name]
    assert place in refusal(folder, {"hydra": content})


def test_interpolation_hides_nothing(folder: Path) -> None:
    hidden = {"x": {"callbacks": {"x": EVIL}}, "y": "pkg://evil_module"}
    assert "`hydra`" in refusal(folder, {"hydra": "${x}", **hidden})
    assert "the package 'pkg://evil_module'" in refusal(folder, {"hydra": {"searchpath": ["${y}"]}, **hidden})


@pytest.mark.parametrize(
    ("header", "content"),
    [
        ("# @package _global_\n", {"hydra": {"callbacks": {"x": EVIL}}}),
        ("# @package hydra.callbacks.x\n", EVIL),
        ("# @package hydra\n", {"callbacks": {"x": EVIL}}),
    ],
)
def test_a_file_of_a_group_may_neither(header: str, content: dict[str, Any], folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "theirs.yaml").write_text(header + yaml.safe_dump(content))
    assert "data/theirs.yaml: `hydra.callbacks.x._target_`" in refusal(folder, {}, "data=theirs")


def test_a_group_that_a_default_moves_may_neither(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "theirs.yaml").write_text(yaml.safe_dump({"x": EVIL}))
    (folder / "moving.yaml").write_text("defaults: [phase1_config, data@hydra.callbacks: theirs, _self_]")
    with pytest.raises(ConfigError, match=r"hydra\.callbacks\.x\._target_"):
        GuardedLoader(search_path(folder)).load_configuration("moving", [], RunMode.RUN)


def test_hydras_own_group_in_a_folder_is_a_file_like_others(folder: Path) -> None:
    (folder / "hydra" / "callbacks").mkdir(parents=True)
    (folder / "hydra" / "callbacks" / "theirs.yaml").write_text(yaml.safe_dump({"x": EVIL}))
    assert "hydra.callbacks.x._target_" in refusal(folder, {}, "hydra/callbacks=theirs")


@pytest.mark.parametrize(
    "override",
    ["hydra.searchpath=[pkg://evil_module]", "+hydra.job.env_set.PATH=x", "hydra.job.env_set={PATH: x}"],
)
def test_overrides_neither_import_packages_nor_set_the_environment(override: str, folder: Path) -> None:
    refusal(folder, {}, override)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"nodes": {"pca": {"_target_": "${graph.name}"}}}, "nodes.pca._target_"),
        ({"nodes": {"pca": {"_args_": [3]}}}, "nodes.pca._args_"),
        ({"nodes": {"pca": {"deep": [{"_partial_": True}]}}}, "nodes.pca.deep.0._partial_"),
    ],
)
def test_objects_are_made_of_named_classes_alone(content: dict[str, Any], place: str, folder: Path) -> None:
    assert place in refusal(folder, content)


def test_allow_in_a_file_says_how_to_write_it_on_the_command_line(folder: Path) -> None:
    assert "run with 'allow=[evil_module,other]'" in refusal(folder, {"allow": ["evil_module", "other"]})
    assert composed(folder, {}, "allow=[evil_module]").allow == ["evil_module"]


def test_plain_values_are_set(folder: Path) -> None:
    plain = {
        "run": {"dir": "runs/${graph.name}"},
        "sweep": {"dir": "sweeps", "subdir": "${hydra.job.num}"},
        "job": {"chdir": True, "name": "mine"},
        "sweeper": {"params": {"nodes.pca.n_components": "2,3", "+data": "a,b"}, "max_batch_size": 2},
        "job_logging": {"root": {"level": "DEBUG"}, "formatters": {"simple": {"format": "%(message)s"}}},
        "verbose": ["cuvis_ai"],
        "output_subdir": None,
        "searchpath": [f"file://{folder}/more", "more"],
    }
    with pytest.warns(UserWarning, match="is not available"):
        hydra = composed(folder, {"hydra": plain, "graph": {"name": "g"}}).hydra
    assert hydra.run.dir == "runs/g"
    assert hydra.sweeper.params["nodes.pca.n_components"] == "2,3"
    assert hydra.job_logging.root.level == "DEBUG"


def test_installed_plug_ins_are_chosen(folder: Path) -> None:
    (folder / "mine.yaml").write_text(
        "defaults: [phase1_config, {override hydra/job_logging: stdout}, {override hydra/launcher: basic}, _self_]"
    )
    config = GuardedLoader(search_path(folder)).load_configuration("mine", [], RunMode.RUN)
    assert config.hydra.runtime.choices["hydra/job_logging"] == "stdout"


def test_what_the_command_line_names_is_the_users_word(folder: Path) -> None:
    config = composed(folder, {}, "+hydra.callbacks.x._target_=mine.Callback")
    assert config.hydra.callbacks.x._target_ == "mine.Callback"


def test_a_job_of_a_sweep_is_composed_by_the_same_rules(folder: Path) -> None:
    (folder / "data").mkdir()
    content = {"hydra": {"job_logging": {"filters": {"x": {"()": "evil_module.run"}}}}}
    (folder / "data" / "theirs.yaml").write_text("# @package _global_\n" + yaml.safe_dump(content))
    loader = GuardedLoader(search_path(folder))
    (folder / "mine.yaml").write_text("defaults: [phase1_config, _self_]")
    swept = loader.load_configuration("mine", ["data=theirs,indian_pines"], RunMode.MULTIRUN)
    with pytest.raises(ConfigError, match=r"data/theirs\.yaml: `hydra\.job_logging"):
        loader.load_sweep_config(swept, ["data=theirs"])


RAW = {
    "no YAML": "nodes: [",
    "a tag that makes objects": "x: !!python/object/apply:evil_module.run []",
    "control characters": "x: \x00",
    "deep": "x: " + "[" * 3000 + "]" * 3000,
    "a circle": "a: &a [*a]",
    "a key twice": "a: 1\na: 2",
    "hydra that is a list": "hydra: [1]",
    "a wrong type for Hydra": "hydra: {run: 5}",
    "a faulty interpolation": "graph: {name: '${'}",
    "defaults that are a number": "defaults: 5",
}


@pytest.mark.parametrize("name", RAW)
def test_errors_of_yaml_and_hydra_are_ours(name: str, folder: Path) -> None:
    refusal(folder, RAW[name])


LOGS = {
    "{root: {level: LOUD}}": "Unknown level: 'LOUD'",
    "{version: 2, root: {}}": "Unsupported version: 2",
    "{version: 1, root: {handlers: [none]}}": "Unable to add handler 'none'",
    "{version: 1, root: {}, handlers: {x: {class: logging.StreamHandler, level: [1]}}}": "handler 'x'",
    "{version: 1, root: {}, loggers: {x: {level: quiet}}}": "Unknown level: 'quiet'",
    "{version: 1, root: {}, formatters: {x: {format: '%(name'}}}": "formatter 'x'",
    "{version: 1, handlers: {}}": "KeyError: 'root'",
}
"""Settings of the log in a file, and what is said of them."""


def test_settings_of_the_log_that_python_refuses_end_in_our_error(tmp_path: Path) -> None:
    """In a process of its own, since they would change the log of this one."""
    program = f"""
import yaml
from omegaconf import OmegaConf
from cuvis_ai.cli.guarded_hydra import configure_log
from cuvis_ai.errors import ConfigError

for text in {[*LOGS]!r}:
    try:
        configure_log(OmegaConf.create({{"version": 1}} | yaml.safe_load(text)))
    except ConfigError as err:
        print(err)
configure_log(OmegaConf.create({{"version": 1, "root": {{"level": "WARNING"}}}}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    messages = done.stdout.splitlines()
    assert len(messages) == len(LOGS)
    for message, said in zip(messages, LOGS.values(), strict=True):
        assert message.startswith("`hydra.job_logging`, `hydra.hydra_logging`")
        assert said in message


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("--multirun",)])
@pytest.mark.parametrize("part", ["job_logging", "hydra_logging"])
def test_the_command_ends_with_a_message_on_its_log(
    part: str, arguments: tuple[str, ...], folder: Path
) -> None:
    text = f"defaults: [phase1_config, _self_]\nhydra: {{{part}: {{root: {{level: LOUD}}}}}}\n"
    (folder / "loud.yaml").write_text(text)
    program = Path(sys.executable).with_name("cuvis-ai")
    done = subprocess.run(
        [program, "train", "--config-dir", str(folder), "--config-name", "loud", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("cuvis-ai: `hydra.job_logging`, ")
    assert "Unknown level: 'LOUD'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("--config-name", "evil"),
        ("--config-name", "evil", "--multirun"),
        ("--experimental-rerun", "x.pickle"),
    ],
)
def test_the_command_ends_with_the_message_alone(arguments: tuple[str, ...], folder: Path) -> None:
    content = {"hydra": {"callbacks": {"x": EVIL}}}
    (folder / "evil.yaml").write_text("defaults: [phase1_config, _self_]\n" + yaml.safe_dump(content))
    program = Path(sys.executable).with_name("cuvis-ai")
    done = subprocess.run(
        [program, "train", "--config-dir", str(folder), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("cuvis-ai: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.trainer.max_epoch=1", "got `training.trainer.max_epoch`. Did you mean `max_epochs`?"),
        ("training.trianer.max_epochs=1", "got `training.trianer`. Did you mean `trainer`?"),
        ("training.xyz=1", "got `training.xyz`. It has "),
        ("data.batch_size=1", "got `data`. Did you mean `datamodule`?"),
        ("nodes.pca.n_component=1", "got `nodes.pca.n_component`. Did you mean `n_components`?"),
    ],
)
def test_a_mistyped_key_is_answered_with_the_nearest_one(folder: Path, override: str, message: str) -> None:
    said = refusal(folder, {}, override)
    assert message in said
    assert "+" not in said


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.trainer.limit_val_batches=1", "Did you mean `+training.trainer.limit_val_batches`?"),
        ("training.trainer.limit_val_batch=1", "Did you mean `+training.trainer.limit_val_batches`?"),
        ("training.seeds=1", "Did you mean `seed`?"),
        ("nodes.pca.whiten=true", "Did you mean `+nodes.pca.whiten`?"),
        ("nodes.mine.batch_size=1", "It has _target_."),
    ],
)
def test_an_argument_that_no_file_sets_is_answered_with_its_plus(
    folder: Path, override: str, message: str
) -> None:
    said = refusal(folder, {"nodes": {"mine": EVIL}}, override)
    assert said.endswith(f"got `{override.partition('=')[0]}`. {message}")
