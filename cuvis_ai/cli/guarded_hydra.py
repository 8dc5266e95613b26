"""Hydra's loader of configurations, which refuses what files may not say before anything is made of it.

Hydra composes every configuration here: of a run, of each job of a sweep, and of what it prints.
"""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from hydra._internal import hydra as hydra_commands
from hydra._internal import utils as hydra_program
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.core_plugins import basic_launcher
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core import utils as hydra_jobs
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError
from typing_extensions import override

from cuvis_ai.cli.config_size import check_expansion, check_yaml
from cuvis_ai.cli.hydra_rules import (
    is_environment_override,
    problem_of_a_search_path,
    problems_of_a_file,
    problems_of_names,
)
from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.saving.class_path import resolve

_TRUSTED = ("pkg://hydra.", "pkg://hydra_plugins.", "structured://")
"""Sources of Hydra and its installed plug-ins."""
_SETTINGS = {
    "training.": "cuvis_ai.training.config.TrainingConfig",
    "training.trainer.": "cuvis_ai.training.config.TrainerConfig",
    "training.optimizer.": "cuvis_ai.training.config.OptimizerConfig",
}
"""Classes of settings by their places."""
_FROM_SEARCH_PATH = "hydra.searchpath"
_configure_log = hydra_jobs.configure_log


def guard() -> None:
    """Let Hydra's program compose by these rules, and raise errors where it would print them.

    Hydra has no setting for either.

    Raises:
        ConfigError: the command line asks for a pickled configuration, which could run code.
    """
    hydra_commands.ConfigLoaderImpl = GuardedLoader  # type: ignore[attr-defined]  # imported there
    hydra_program.run_and_report = _called
    for module in (hydra_commands, hydra_jobs, basic_launcher):
        module.configure_log = configure_log  # type: ignore[attr-defined]  # defined in the second alone
    if hydra_program.get_args_parser().parse_known_args()[0].experimental_rerun is not None:
        raise ConfigError(
            "--experimental-rerun: expected a configuration in YAML, got a pickle, which could run code. Run "
            "the `config.yaml` of that run with --config-dir and --config-name."
        )


def _called(func: Any) -> Any:
    try:
        return func()
    except HydraException as err:
        raise ConfigError(str(err)) from err


def configure_log(log_config: Any, verbose_config: Any = False) -> None:
    """Set up the log of a run or a job as its configuration says."""
    try:
        _configure_log(log_config, verbose_config)
    except Exception as err:  # the standard library ends in whatever error a wrong key leads it to
        cause = f": {err.__cause__}" if err.__cause__ else ""
        said = f"{type(err).__name__}: {err}".removesuffix(": ").rstrip(".")
        raise ConfigError(
            "`hydra.job_logging`, `hydra.hydra_logging` and `hydra.verbose`: expected settings that Python's "
            f"`logging.config` takes, with levels such as INFO, got {said}{cause}. Correct them."
        ) from err


def _mistyped(err: Exception) -> str | None:
    """The message on a key that a configuration does not have; Hydra would advise to add it.

    None for errors of another kind.
    """
    cause = err.__cause__
    if not isinstance(cause, ConfigAttributeError | ConfigKeyError) or cause.key is None:
        return None
    key, where = str(cause.key), cause.full_key or str(cause.key)
    place = where.removesuffix(key)
    parent = cause.parent_node if isinstance(cause.parent_node, DictConfig) else {}
    known = [str(one) for one in parent]
    # An argument that the file does not set takes a plus.
    words = {one: f"+{place}{one}" for one in _arguments(place, parent)} | {one: one for one in known}
    near = [key] if key in words else difflib.get_close_matches(key, words, n=1, cutoff=0.5)
    advice = f"Did you mean `{words[near[0]]}`?" if near else f"It has {', '.join(known)}."
    return f"configuration: expected a key that it has, got `{where}`. {advice}"


def _arguments(place: str, parent: Mapping[Any, Any]) -> Iterable[str]:
    """Return what the class that a mapping describes takes, also what its file does not set."""
    try:
        return inspect.signature(resolve(_SETTINGS.get(place, parent.get("_target_")), (object,))).parameters
    except ConfigError:  # it describes none, or one that is not ours
        return ()


def _no_such_configuration(err: MissingConfigException, main: str, mains: list[str]) -> str:
    """The message on a configuration that no folder holds; Hydra would list its search path.

    Args:
        err: names it.
        main: the one that the command asks for.
        mains: those that there are.
    """
    asked = err.missing_cfg_file or main
    group, _, choice = asked.rpartition("/")
    what, name, known = (
        ("--config-name", main, mains) if asked == main else (group, choice, err.options or [])
    )
    known = [one for one in known if not one.startswith("_")]  # Hydra's own and those of a group
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"Did you mean `{near[0]}`? " if near else f"There are {', '.join(known)}. " if known else ""
    return (
        f"{what}: expected a configuration, got `{name}`. {advice}`cuvis-ai train --list` names the shipped "
        "ones; --config-dir is a folder of yours."
    )


class _SmallFiles(FileConfigSource):
    """A folder of configurations, none of which is large, or grows large."""

    @override
    def load_config(self, config_path: str) -> Any:
        full = f"{self.path}/{self._normalize_file_name(config_path)}"
        check_yaml(full)
        return super().load_config(config_path)


class _Repository(ConfigRepository):
    """The sources of configurations; no package that a file or an override names is among them."""

    @override
    def initialize_sources(self, config_search_path: Any) -> None:
        for element in config_search_path.get_path():
            problem = problem_of_a_search_path(element.path)
            if problem and element.provider.startswith(_FROM_SEARCH_PATH):
                raise ConfigError(problem)
        super().initialize_sources(config_search_path)
        self.sources = [
            _SmallFiles(source.provider, f"file://{source.path}") if source.scheme() == "file" else source
            for source in self.sources
        ]


class GuardedLoader(ConfigLoaderImpl):
    """Hydra's loader with these rules; its errors are ours."""

    def __init__(self, config_search_path: Any) -> None:
        super().__init__(config_search_path)
        self.repository = _Repository(config_search_path)

    @override
    def load_configuration(
        self, config_name: Any, overrides: list[str], *args: Any, **kwargs: Any
    ) -> DictConfig:
        if refused := [one for one in overrides if is_environment_override(one)]:
            raise ConfigError(
                f"`hydra.job.env_set`: expected variables in the environment itself, got {refused}. "
                "Write them before the command."
            )
        try:
            config = super().load_configuration(config_name, overrides, *args, **kwargs)
            plain = OmegaConf.to_container(config, resolve=False)
            assert isinstance(plain, dict)
            check_expansion(plain)
        except ConfigError:
            raise
        except RecursionError as err:
            raise ConfigError(f"{config_name}: expected a configuration, got one nested too deep.") from err
        except Exception as err:  # Hydra and YAML end in whatever error a file leads them to
            if isinstance(err, MissingConfigException):
                mains = self.repository.get_group_options("", results_filter=ObjectType.CONFIG)
                raise ConfigError(_no_such_configuration(err, config_name, mains)) from err
            if mistyped := _mistyped(err):
                raise ConfigError(mistyped) from err
            cause = f" {err.__cause__}" if err.__cause__ else ""
            raise ConfigError(f"{str(err).strip() or type(err).__name__}{cause}") from err
        plain.pop("hydra")
        if problems := problems_of_names(plain):
            raise ConfigError("\n".join(problems))
        return config

    @override
    def _load_single_config(self, default: Any, repo: Any) -> Any:
        loaded = super()._load_single_config(default, repo)
        if not loaded.path.startswith(_TRUSTED):
            problems = problems_of_a_file(OmegaConf.to_container(loaded.config, resolve=False))
            if problems:
                raise ConfigError("\n".join(f"{default.config_path}.yaml: {problem}" for problem in problems))
        return loaded
