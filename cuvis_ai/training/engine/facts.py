"""What monitors are told about a run besides its values: the graph, its weights, the data."""

from collections.abc import Iterable
from typing import Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from numpy.typing import NDArray
from torch import Tensor, nn

from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base.arguments import hyperparameters
from cuvis_ai.training.engine.batches import length_of
from cuvis_ai.training.engine.epoch import logged
from cuvis_ai.training.monitors import Outline, OutlineNode


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


def dataset_facts(datamodule: LightningDataModule) -> str:
    """Return what a data module that is set up says of its data, as a Markdown table."""
    facts = {"data module": type(datamodule).__name__}
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
    listed = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    return f"| fact | value |\n|---|---|\n{listed}"
