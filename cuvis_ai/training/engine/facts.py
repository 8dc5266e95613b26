"""What monitors are told about a run besides its values: the graph, its weights, the data."""

import inspect
import os
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from numpy.typing import NDArray
from torch import Tensor, nn

from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base import hyperparameters
from cuvis_ai.training.config import TrainingConfig
from cuvis_ai.training.engine.batches import length_of
from cuvis_ai.training.engine.epoch import logged
from cuvis_ai.training.engine.parts import Parts
from cuvis_ai.training.engine.same_run import plain
from cuvis_ai.training.monitors import Outline, OutlineNode
from cuvis_ai.training.monitors.records import Fact

_MOST_LISTED = 20
"""Elements of a list that are named."""


def outline_of(execution: Execution, leaves: nn.ModuleDict) -> Outline:
    """Return the structure of a graph, each node before what reads it, leaves last."""
    topology = execution.topology
    parents = {
        **{name: topology.parents[name] for name in topology.order()},
        **{name: (parent,) for name, parent in topology.leaves.items()},
    }
    modules: dict[str, nn.Module] = {**execution.nodes, **leaves}
    return Outline(
        nodes=tuple(
            OutlineNode(
                name=name,
                kind=type(modules[name]).__name__,
                arguments={key: repr(value) for key, value in hyperparameters(modules[name]).items()},
                parents=of,
                is_leaf=name in topology.leaves,
            )
            for name, of in parents.items()
        )
    )


def weights_and_gradients(parameters: Iterable[tuple[str, nn.Parameter]]) -> dict[str, NDArray[Any]]:
    """Return what training changes, and the gradients of the last step, by logged name."""
    found: dict[str, NDArray[Any]] = {}
    for name, parameter in parameters:
        if not parameter.requires_grad:
            continue
        found[logged("train", "weight", name)] = _array(parameter)
        if parameter.grad is not None:
            found[logged("train", "gradient", name)] = _array(parameter.grad)
    return found


def _array(tensor: Tensor) -> NDArray[Any]:
    values: NDArray[Any] = tensor.detach().float().cpu().numpy()
    return values


@runtime_checkable
class DescribesData(Protocol):
    """A data module that says what its data are."""

    def facts(self) -> Mapping[str, Fact]:
        """Return, once it is set up, texts and numbers by name."""


def dataset_facts(datamodule: LightningDataModule) -> dict[str, Fact]:
    """Return what a data module that is set up says of its data, by name."""
    facts: dict[str, Fact] = {"data module": type(datamodule).__name__}
    for stage in ("train", "val", "test"):
        if not is_overridden(f"{stage}_dataloader", datamodule):
            continue
        loader = getattr(datamodule, f"{stage}_dataloader")()
        samples = getattr(loader, "dataset", None)  # a foreign loader may have none
        if n := length_of(loader):
            n_samples = length_of(samples)
            facts[stage] = f"batches: {n}" + ("" if n_samples is None else f", samples: {n_samples}")
    wavelengths = getattr(datamodule, "wavelengths", None)  # a foreign data module may know none
    if wavelengths is not None and len(wavelengths):
        facts["bands"] = f"{len(wavelengths)}, {min(wavelengths):.1f}–{max(wavelengths):.1f} nm"
    elif (bands := getattr(datamodule, "band_indices", None)) is not None:
        facts["bands"] = f"{len(bands)}, wavelengths unknown"
    return {**facts, **(datamodule.facts() if isinstance(datamodule, DescribesData) else {})}


def run_settings(
    parts: Parts, config: TrainingConfig, datamodule: LightningDataModule
) -> dict[str, dict[str, Any]]:
    """Return what tells one run from another: the settings, and the arguments of nodes, leaves and data."""
    modules = {
        kind: {name: _described_module(module) for name, module in group.items()}
        for kind, group in (("nodes", parts.nodes), ("leaves", parts.leaves))
    }
    return {**plain(config), **modules, "data": data_arguments(datamodule)}


def _described_module(module: nn.Module) -> dict[str, Any]:
    arguments = {key: _described(value) for key, value in hyperparameters(module).items()}
    return {"class": type(module).__name__, **arguments}


def data_arguments(datamodule: LightningDataModule) -> dict[str, Any]:
    """Return a data module's class and constructor arguments, as far as its attributes have them.

    Ours hold them as attributes, or in the records `loading` and `reading`; others may have called
    `save_hyperparameters`.
    """
    holders = [datamodule, *(getattr(datamodule, name, None) for name in ("loading", "reading"))]
    found = {str(key): _described(value) for key, value in datamodule.hparams.items()}
    for name in inspect.signature(type(datamodule)).parameters:
        for holder in holders:
            if holder is not None and hasattr(holder, name):
                found.setdefault(name, _described(getattr(holder, name)))
    return {"class": type(datamodule).__name__, **found}


def _described(value: object) -> Any:
    """Return an argument as a plain value; of arrays and objects, which may be large, what they are."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): _described(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        listed = [_described(one) for one in value]
        return listed if len(listed) <= _MOST_LISTED else [*listed[:_MOST_LISTED], f"… {len(listed)} in all"]
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"{type(value).__name__} {tuple(shape)}"
