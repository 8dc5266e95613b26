"""Modules that a node wraps: written as a class and its arguments, made of these where they are allowed."""

import pytest
from torch import nn

from cuvis_ai.errors import ArchiveError, ConfigError
from cuvis_ai.node.base.arguments import hyperparameters
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.node.torch import TorchNode
from cuvis_ai.pipeline.saving.wrapped_module import made, written


def test_what_is_written_makes_the_same_module() -> None:
    text = written(hyperparameters(TorchNode(nn.Conv2d(4, 2, 3, padding=1, bias=False))), "net")
    assert text["module"] == "torch.nn.modules.conv:Conv2d"
    again = made(TorchNode, text, ["torch.nn"], "net")["module"]
    assert repr(again) == repr(nn.Conv2d(4, 2, 3, padding=1, bias=False))


def test_other_nodes_stay_as_they_are() -> None:
    arguments = hyperparameters(TrainablePCA(3))
    assert written(arguments, "pca") == arguments
    assert made(TrainablePCA, arguments, [], "pca") == arguments


def test_modules_of_modules_ask_for_a_class() -> None:
    with pytest.raises(ArchiveError, match="such as nn.Sequential, becomes a class of your own"):
        written(hyperparameters(TorchNode(nn.Sequential(nn.ReLU()))), "net")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"module": "torch.nn.modules.conv:Conv2d", "arguments": {"no": 1}}, "net: Conv2d: .*unexpected"),
        (
            {"module": "torch.nn.modules.conv:Conv2d", "arguments": [1]},
            "net: `arguments`: expected a mapping",
        ),
        ({"module": "torch.nn.modules.conv:os"}, "defines no class `os`"),
        ({"module": "cuvis_ai.node.pca:TrainablePCA"}, "expected a class of torch.nn"),
    ],
)
def test_what_a_file_says_is_checked(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made(TorchNode, arguments, ["torch.nn"], "net")
