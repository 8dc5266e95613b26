"""Prediction by several processes of one machine, each of which does a share."""

import copy
import logging
import multiprocessing
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

import torch
from typing_extensions import override

from cuvis_ai.data.folders import cube_name
from cuvis_ai.errors import GraphError
from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base import freeze
from cuvis_ai.pipeline.prediction.done_share import Share
from cuvis_ai.pipeline.prediction.predictor import Predictor
from cuvis_ai.pipeline.prediction.scorer import Scorer

logger = logging.getLogger(__name__)


def in_processes(predictor: Predictor[Scorer], scenes: Sequence[Path], folder: Path) -> Share:
    """Write the maps of scenes, a share in each of several new processes.

    Raises:
        GraphError: a process was ended; what it finished is there.
    """
    n = predictor.settings.devices
    # A process that is forked after torch has used its threads may wait for them for ever.
    context = multiprocessing.get_context("spawn")
    kind, threads = predictor.scorer.execution.device.type, max(1, torch.get_num_threads() // n)
    sent, level = _sendable(predictor), logger.getEffectiveLevel()
    processes = {}
    for i in range(n):
        receiver, sender = context.Pipe(duplex=False)
        device = torch.device(kind) if kind == "cpu" else torch.device(kind, i)
        arguments = (sender, _with_share(sent, i), scenes, folder, device, threads, level)
        processes[receiver] = context.Process(target=_work, args=arguments, daemon=True)
        with _ctrl_c_ignored():
            processes[receiver].start()
        sender.close()
    try:
        shares = _received(list(processes))
    except BaseException:  # Ctrl-C too: what they do is lost, what they finished is not
        for process in processes.values():
            process.terminate()
        raise
    finally:
        for process in processes.values():
            process.join()
    if len(shares) < n:
        codes = [process.exitcode for process in processes.values() if process.exitcode]
        raise GraphError(
            f"predict: expected {n} processes to end their shares, got {n - len(shares)} that were ended, "
            f"exit status {codes}. Run the same command again with --resume."
        )
    done = {one.name: one for share in shares for one in share.done}
    failed = {path: err for share in shares for path, err in share.failed.items()}
    return Share(
        [done[name] for name in map(cube_name, scenes) if name in done],
        {path: failed[path] for path in scenes if path in failed},
    )


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Start processes that leave Ctrl-C, which a terminal sends to all, to this one."""
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers there alone
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _sendable(predictor: Predictor[Scorer]) -> Predictor[Scorer]:
    """Return a predictor that another process can be given: parametrized weights cannot be."""
    execution = predictor.scorer.execution
    nodes = copy.deepcopy(dict(execution.nodes))  # together, since some refer to others
    for node in nodes.values():
        freeze(node.cpu())
    fixed = Execution(execution.topology, nodes, fixed=True)
    return replace(predictor, scorer=replace(predictor.scorer, execution=fixed))


def _with_share(predictor: Predictor[Scorer], process: int) -> Predictor[Scorer]:
    """Return the predictor of a process: its part of this share."""
    settings = predictor.settings
    (i, n), m = settings.shard, settings.devices
    share = ((i - 1) * m + process + 1, n * m)
    return replace(predictor, settings=replace(settings, shard=share, overwrite=False))


def _received(receivers: list[Connection]) -> list[Share]:
    """Return the shares of processes that ended well; log their lines until then."""
    shares = []
    while receivers:
        for receiver in wait(receivers):
            assert isinstance(receiver, Connection)
            try:
                message = receiver.recv()
            except EOFError:
                receivers.remove(receiver)
                continue
            if isinstance(message, Share):
                shares.append(message)
            else:
                name, level, line = message
                logging.getLogger(name).log(level, "%s", line)
    return shares


class _Lines(logging.Handler):
    """Sends lines of the log to the process that has the terminal."""

    def __init__(self, sender: Connection) -> None:
        super().__init__()
        self.sender = sender

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.sender.send((record.name, record.levelno, record.getMessage()))


def _work(
    sender: Connection,
    predictor: Predictor[Scorer],
    scenes: Sequence[Path],
    folder: Path,
    device: torch.device,
    threads: int,
    level: int,
) -> None:
    """Do a share in a process of its own."""
    logging.basicConfig(level=level, handlers=[_Lines(sender)])
    torch.set_num_threads(threads)
    for node in predictor.scorer.execution.nodes.values():
        node.to(device)
    sender.send(predictor.share(scenes, folder, show_progress=False))
