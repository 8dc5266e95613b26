"""Every error that the project raises on purpose.

    NotFittedError(RuntimeError)             a node is used before its statistics are known
    GraphError(ValueError)                   nodes, leaves or cubes that do not fit together
    ├── ArchiveError                         a saved graph that is damaged, foreign or not to be trusted
    └── NonFiniteLossError                   a loss, or its gradient, became NaN or infinite
    ConfigError(ValueError)                  a setting that is unknown or impossible
    CubeFormatError(ValueError)              a file that cannot be read as a cube or a mask
    DatasetNotFoundError(FileNotFoundError)  a data set that is not where it was looked for
    MissingExtraError(ImportError)           an optional package is not installed

Messages read: where: expected …, got …. What to do. What they quote from files is made printable, so that no
control sequence of a file reaches the terminal.
"""

import importlib
from types import ModuleType

DISTRIBUTION = "cubes-to-maps"
"""The name that the package is installed by; the package index holds another project under `cuvis-ai`."""


def to_install(extra: str) -> str:
    """Return the command that installs an extra.

    Example:
        >>> to_install("geo")
        'pip install "cubes-to-maps[geo]"'
    """
    return f'pip install "{DISTRIBUTION}[{extra}]"'


def escaped(text: str) -> str:
    r"""Return a text with everything but line breaks and tabs that is not printable as an escape.

    Example:
        >>> print(escaped("\x1b[2Jcleared"))
        \x1b[2Jcleared
    """
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode() for one in text
    )


class _PrintableError(Exception):
    """An error whose message is printable."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(escaped(one) if isinstance(one, str) else one for one in args))


class NotFittedError(_PrintableError, RuntimeError):
    """A node is used before its statistics are known.

    Example:
        >>> from cuvis_ai.node.pca import TrainablePCA
        >>> try:
        ...     TrainablePCA(3).prepare_for_train()
        ... except NotFittedError as err:
        ...     print(err)
        TrainablePCA is not fitted yet. Run `graph.train(datamodule=…)` first; ...
    """


class GraphError(_PrintableError, ValueError):
    """Nodes, leaves or cubes do not fit together.

    Example:
        >>> from cuvis_ai.node.pca import TrainablePCA
        >>> from cuvis_ai.pipeline.graph import Graph
        >>> try:
        ...     Graph("empty").add_node(TrainablePCA(3), parent="rx")
        ... except GraphError as err:
        ...     print(err)
        node `trainable_pca`: the first node reads the cube and has no parent.
    """


class ArchiveError(GraphError):
    """A saved graph is damaged, of a newer format, or asks for something that is not allowed.

    Example:
        >>> from cuvis_ai.pipeline.graph import Graph
        >>> try:
        ...     Graph.load_from_file("scene.hdr")
        ... except ArchiveError as err:
        ...     print(err)
        scene.hdr: expected a file written by `graph.save_to_file`, whole and unchanged; ...
    """


class NonFiniteLossError(GraphError):
    """A loss, or its gradient, became NaN or infinite during training.

    Example:
        >>> issubclass(NonFiniteLossError, GraphError), issubclass(NonFiniteLossError, ValueError)
        (True, True)
    """


class ConfigError(_PrintableError, ValueError):
    """A setting is unknown or impossible.

    Example:
        >>> from cuvis_ai.training.config import TrainerConfig
        >>> try:
        ...     TrainerConfig(max_epochs=-1)
        ... except ConfigError as err:
        ...     print(err)
        TrainerConfig: `max_epochs`: expected an integer, 0 or more, got -1.
    """


class CubeFormatError(_PrintableError, ValueError):
    """A file cannot be read as a cube or a mask.

    Example:
        >>> from cuvis_ai.data.cube import read_cube
        >>> try:
        ...     read_cube("Lentils/annotations.json")
        ... except CubeFormatError as err:
        ...     print(err)
        Lentils/annotations.json: expected .cu3s, .hdr, ..., got a file of ... bytes that begins with ...
    """


class DatasetNotFoundError(_PrintableError, FileNotFoundError):
    """A data set is not where it was looked for.

    Example:
        >>> from cuvis_ai.data.cube import read_cube
        >>> try:
        ...     read_cube("missing.hdr")
        ... except FileNotFoundError as err:
        ...     print(type(err).__name__)
        DatasetNotFoundError
    """


class MissingExtraError(_PrintableError, ImportError):
    """An optional package is not installed; the message names the extra that brings it.

    Example:
        >>> issubclass(MissingExtraError, ImportError)
        True
    """


def import_extra(module: str, extra: str, needed_for: str) -> ModuleType:
    """Return an optional package's module.

    Args:
        module: dotted name to import, such as `h5py`.
        extra: the extra of this package that brings it, such as `hdf5`.
        needed_for: what the caller wants it for, as the message's subject: "reading a .h5 file".

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as err:
        if err.name is None or err.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{needed_for}: expected the package `{module}`, which is not installed. "
            f"Install it with `{to_install(extra)}`."
        ) from err


def printable(text: str, longest: int = 1000) -> str:
    """Return a text of a file for a message: control characters escaped, the middle of a long one left out.

    Example:
        >>> printable("abcdefghij", longest=6)
        'abcd … ij'
    """
    text = escaped(text).replace("\n", r"\n").replace("\t", r"\t")
    return text if len(text) <= longest else f"{text[: longest * 2 // 3]} … {text[-(longest // 3) :]}"
