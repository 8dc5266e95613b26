"""A monitor that sends everything to Weights & Biases, or stores it in a folder to be sent later."""

import html
import io
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from cuvis_ai.errors import ConfigError, import_extra
from cuvis_ai.training.monitors.protocol import Monitor
from cuvis_ai.training.monitors.records import Drawn, Ending, Histogram, Run, Scalar, Text

if TYPE_CHECKING:
    import wandb

logger = logging.getLogger(__name__)

Mode = Literal["online", "offline", "disabled"]
_UPLOAD_SECONDS = 300.0


class WandBMonitor(Monitor):
    """Records a run with Weights & Biases: values, configuration, pictures, histograms, system metrics.

    Values of an epoch are drawn over `epoch`, those of a step over `global_step`. If the server does not
    answer, or no user is logged in, one warning says so and the run is recorded offline, from where
    `wandb sync` sends it. Files go to `./wandb`, or to where the variable WANDB_DIR says.

    Args:
        project: the project's name; made if missing.
        entity: user or team that owns it; None for the account's default.
        name: the run's name; None for the graph's.
        tags: words to find the run by.
        notes: a longer text about the run.
        mode: online; offline, which needs no account; disabled, which records nothing.
        timeout: seconds that the server has to answer when a run starts; above 0.

    Raises:
        ConfigError: `mode` is unknown.

    Example:
        >>> from cuvis_ai.pipeline.graph import Graph
        >>> graph, monitor = Graph("rx"), WandBMonitor("hyperspectral", mode="offline")  # needs no account
        >>> graph.register_monitor(monitor)
        >>> monitor.project
        'hyperspectral'
    """

    _run: "wandb.Run"
    """Open from `setup` to `close`."""

    def __init__(
        self,
        project: str,
        entity: str | None = None,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        mode: Mode = "online",
        *,
        timeout: float = 30.0,
    ) -> None:
        if mode not in get_args(Mode):
            raise ConfigError(f"WandBMonitor: mode: expected {', '.join(get_args(Mode))}, got {mode!r}.")
        self.project = project
        self.entity = entity
        self.name = name
        self.tags = list(tags or ())
        self.notes = notes
        self.mode = mode
        self.timeout = timeout
        self._known: set[str] = set()

    def setup(self, run: Run) -> None:
        """Start a run.

        Raises:
            MissingExtraError: wandb is not installed.
        """
        wandb = import_extra("wandb", "wandb", "WandBMonitor")
        try:
            self._run = self._start(run, self.mode)
        except wandb.errors.Error as err:
            reason = str(err).partition("\n")[0]
            logger.warning(
                "WandBMonitor records this run offline, to be sent with `wandb sync`: %s. Log in with "
                "`wandb login`, or choose mode='offline'.",
                reason.rstrip("."),
            )
            self._run = self._start(run, "offline")
        self._known = set()

    def _start(self, run: Run, mode: Mode) -> "wandb.Run":
        import wandb

        return wandb.init(
            project=self.project,
            entity=self.entity,
            name=self.name or run.name,
            tags=self.tags,
            notes=self.notes,
            mode=mode,
            config={**run.settings, "graph": run.name, "structure": run.structure},
            # A run that the user has open stays open.
            reinit="create_new",
            settings=wandb.Settings(
                init_timeout=self.timeout, login_timeout=self.timeout, finish_timeout=_UPLOAD_SECONDS
            ),
        )

    def _log(self, values: Mapping[str, Any], first: Scalar | Drawn | Histogram, axis: str = "epoch") -> None:
        """Log values of one step, that of the `first` record."""
        for name in values.keys() - self._known:
            self._run.define_metric(name, step_metric=axis)
            self._known.add(name)
        self._run.log({**values, "epoch": first.epoch, "global_step": first.global_step})

    def log_scalars(self, scalars: Sequence[Scalar]) -> None:
        """Record values."""
        axis = "global_step" if scalars[0].name.endswith("_step") else "epoch"
        self._log({scalar.name: scalar.value for scalar in scalars}, scalars[0], axis)

    def log_figures(self, figures: Sequence[Drawn]) -> None:
        """Record pictures."""
        import wandb
        from PIL import Image

        images = {
            drawn.name: wandb.Image(Image.open(io.BytesIO(drawn.png)), caption=f"epoch {drawn.epoch}")
            for drawn in figures
        }
        self._log(images, figures[0])

    def log_histograms(self, histograms: Sequence[Histogram]) -> None:
        """Record distributions."""
        import wandb

        counted = {
            one.name: wandb.Histogram(np_histogram=(one.counts.tolist(), one.edges.tolist()))
            for one in histograms
        }
        self._log(counted, histograms[0])

    def log_text(self, text: Text) -> None:
        """Record a text; what it says of the data also in the configuration, by which runs are compared."""
        import wandb

        if text.facts:
            self._run.config[text.name] = dict(text.facts)
        self._run.log({text.name: wandb.Html(f"<pre>{html.escape(text.text)}</pre>", inject=False)})

    def close(self, ending: Ending) -> None:
        """Record final values in the summary, and finish the run."""
        self._run.summary.update(dict(ending.values))
        self._run.finish(exit_code=int(ending.failed))
        del self._run
