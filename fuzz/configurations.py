"""A mutated configuration file ends in what can be run or in a `ConfigError`, and runs no code.

Run with `python -m fuzz.configurations`. Mutates the configurations of the package, decided by the
seed: values, keys, what stands under `hydra`, class paths, interpolations, and the text. Each is composed as
`cuvis-ai train` does, resolved and built. An audit hook of Python sees imports, programs, connections
and files opened for writing. Reported are the outcomes; what breaks the promise (another exception, anything
that the hook sees) is left in a folder, and the program ends with 1.

Only packages may be imported that were when all configurations had been built unchanged, and the standard
library's, but for two that act when they are imported.
"""

import argparse
import logging
import os
import random
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cuvis_ai.cli.environment import resolved, without_environment
from cuvis_ai.cli.guarded_hydra import GuardedLoader
from cuvis_ai.errors import ConfigError, MissingExtraError
from cuvis_ai.pipeline.build import build

CONF = Path(__file__).parents[1] / "cuvis_ai" / "conf"
_ACTING = {"antigravity", "this"}
_PROGRAMS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "socket.connect",
    "pty.spawn",
)
_CODE = [
    "antigravity.x",
    "this.x",
    "fuzz_evil.run",
    "fuzz_evil",
    "sympy.sympify",
    "os.system",
    "torch.load",
    "builtins.eval",
    "lightning.pytorch.callbacks.model_checkpoint.torch.load",
    "cuvis_ai.node.pca.torch.load",
    "cuvis_ai.cli.main",
    "lightning.pytorch.callbacks.LambdaCallback",
    "cuvis_ai.node.pca.TrainablePCA",
    "hydra.utils.call",
]
_TEXTS = [
    "x",
    "???",
    "${graph}",
    "${graph.name}",
    "${nowhere}",
    "${..x}",
    "${oc.env:HOME}",
    "${oc.env:NOT_SET}",
    "${oc.decode:'[1'}",
    "${oc.create:{_target_:this.x}}",
    "../x",
]
_VALUES: list[Any] = [
    *(None, True, 0, -1, 5, 1e308, float("nan"), 10**30, "", "\x1b[2J", *_TEXTS, [], [1], {}),
    ["a", {"b": None}],
    *({"_target_": "fuzz_evil.run"}, {"_target_": 5}, {"()": "this.x"}),
]  # fmt: skip
_KEYS = [
    "_target_",
    "_args_",
    "_partial_",
    "_recursive_",
    "()",
    "class",
    "parent",
    "enabled",
    "allow",
    "callbacks",
    "weight",
    "x",
]
_UNDER_HYDRA = [
    "callbacks.x",
    "job_logging.filters.x",
    "job_logging.handlers.console",
    "job_logging.handlers.file",
    "hydra_logging.root",
    "launcher",
    "launcher.setup",
    "sweeper",
    "sweeper.params",
    "job",
    "job.env_set",
    "job.env_copy",
    "searchpath",
    "run",
    "verbose",
    "mode",
    "help",
    "output_subdir",
    "runtime",
    "overrides",
]


class Outcome(NamedTuple):
    """What came of one file."""

    name: str
    problem: str | None


class Watch:
    """An audit hook, which cannot be removed, only rested."""

    def __init__(self) -> None:
        self.on = False
        self.known: set[str] = set()
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "import" and str(arguments[0]).partition(".")[0] not in self.known:
            self.seen.append(f"import {arguments[0]}")
        elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            self.seen.append(f"open {arguments[0]!r} for writing")
        elif event.startswith(_PROGRAMS):
            self.seen.append(f"{event} {arguments!r:.200}")


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [
        *([place] if place else []),
        *(found for key, one in below for found in _places(one, (*place, key))),
    ]


def mutated(rng: random.Random, seed: dict[str, Any]) -> str:
    """Return the text of a configuration with some mutations."""
    content = deepcopy(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = _places(content)
        place = rng.choice(places) if places else ("x",)
        kind = rng.choice(("value", "value", "code", "key", "remove", "hydra", "hydra", "allow"))
        part: Any = content
        for key in place[:-1]:
            part = part[key]
        if kind == "value":
            part[place[-1]] = deepcopy(rng.choice(_VALUES))
        elif kind == "code" and isinstance(part, dict):
            part["_target_"] = rng.choice(_CODE)
        elif kind == "key" and isinstance(part, dict):
            part[rng.choice(_KEYS)] = deepcopy(rng.choice([*_VALUES, *_CODE]))
        elif kind == "remove":
            del part[place[-1]]
        elif kind == "allow":
            content["allow"] = rng.choice([["fuzz_evil"], "this", 5, [], {"a": 1}])
        elif kind == "hydra":
            _put(content, f"hydra.{rng.choice(_UNDER_HYDRA)}", _of_hydra(rng))
    text = str(yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
    if rng.random() < 0.15:
        at = rng.randrange(len(text))
        text = (
            text[:at]
            + rng.choice(["", "\x00", "[", "&a *a", "!!python/name:os.system ", ": ", "\t", "${"])
            + text[at + 1 :]
        )
    return text


def _of_hydra(rng: random.Random) -> Any:
    code = rng.choice(_CODE)
    by_name = [{key: code} for key in ("_target_", "()", "class", code, "+hydra.callbacks.x._target_")]
    package, stream = [f"pkg://{code.partition('.')[0]}"], {"stream": f"ext://{code}"}
    shapes = [*by_name, package, stream, {"filename": "evil.log"}, "${graph}", code]
    return rng.choice([*shapes, *_VALUES])


def _put(content: dict[str, Any], place: str, value: Any) -> None:
    part, keys = content, place.split(".")
    for key in keys[:-1]:
        if not isinstance(part.get(key), dict):
            part[key] = {}
        part = part[key]
    part[keys[-1]] = deepcopy(value)


def outcome_of(folder: Path, name: str, watch: Watch) -> Outcome:
    """Compose, resolve and build a file of a folder, and say what came of it."""
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    path = create_config_search_path("pkg://cuvis_ai.conf")
    path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
    watch.seen.clear()
    watch.on, problem = True, None
    try:
        config = GuardedLoader(path).load_configuration(name, [], RunMode.RUN)
        OmegaConf.set_struct(config, False)
        config.pop("hydra")
        config.pop("allow", None)
        build(resolved(config))
        without_environment(config)
        outcome = "built"
    except (ConfigError, MissingExtraError) as err:
        outcome = type(err).__name__
        if not str(err).replace("\n", " ").replace("\t", " ").isprintable():
            problem = f"an unprintable message: {str(err)!r}"
    except Exception as err:  # whatever it is, it is what this program looks for
        outcome, problem = type(err).__name__, traceback.format_exc()[-1500:]
    finally:
        watch.on = False
    if watch.seen:
        problem = f"{watch.seen[:3]}"
    return Outcome(outcome, problem)


def fuzzed(count: int, seed: int, folder: Path) -> list[Outcome]:
    """Try some `count` mutated files; offending ones are left in the folder."""
    watch, outcomes = Watch(), []
    seeds = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(CONF.glob("*.yaml"))]
    with tempfile.TemporaryDirectory() as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        here = Path(made)
        (here / "fuzz_evil").mkdir()
        (here / "fuzz_evil" / "__init__.py").write_text("raise SystemExit('imported')")
        sys.path.insert(0, made)
        sys.dont_write_bytecode, wrote = True, sys.dont_write_bytecode
        try:
            for i in range(-len(seeds), count):
                rng = random.Random(f"{seed} {i}")
                # First all as they are: what these import is what a run needs.
                text = yaml.safe_dump(seeds[i]) if i < 0 else mutated(rng, rng.choice(seeds))
                (here / "mutant.yaml").write_text(text, encoding="utf-8")
                outcome = outcome_of(here, "mutant", watch)
                if i < 0:
                    loaded = {module.partition(".")[0] for module in sys.modules}
                    watch.known = (loaded | sys.stdlib_module_names) - _ACTING
                    continue
                outcomes.append(outcome)
                if outcome.problem:
                    folder.mkdir(parents=True, exist_ok=True)
                    (folder / f"configuration-{seed}-{i}.yaml").write_text(text, encoding="utf-8")
        finally:
            sys.path.remove(made)
            sys.dont_write_bytecode = wrote
    return outcomes


def main() -> int:
    """Fuzz, report, and return 1 if there are findings."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=5000, help="mutated configurations")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other files")
    parser.add_argument("--folder", type=Path, default=Path("outputs/fuzz"), help="for offending files")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    os.environ.pop("HYDRA_FULL_ERROR", None)
    outcomes = fuzzed(args.count, args.seed, args.folder)
    findings = [outcome.problem for outcome in outcomes if outcome.problem]
    print("\n".join(findings).encode("utf-8", "backslashreplace").decode())
    for name, n in sorted(Counter(outcome.name for outcome in outcomes).items()):
        print(f"{n:8}  {name}")
    print(f"{len(outcomes)} configurations, seed {args.seed}: {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
