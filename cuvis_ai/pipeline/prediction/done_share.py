"""What one process did of a prediction."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cuvis_ai.errors import GraphError
from cuvis_ai.pipeline.prediction.scene_outputs import ScenePrediction


class Share(NamedTuple):
    """What a process did of the scenes that it was given."""

    done: list[ScenePrediction]
    """Those that it finished."""
    failed: dict[Path, str]
    """Why others could not be predicted."""

    def all_done(self, scenes: Sequence[Path]) -> list[ScenePrediction]:
        """Return what was finished.

        Raises:
            GraphError: some scenes could not be predicted; the others have been.
        """
        if not self.failed:
            return self.done
        reasons = "\n".join(f"  {path}: {err}" for path, err in self.failed.items())
        raise GraphError(
            f"predict: {len(self.failed)} of {len(scenes)} scenes failed, the others are done:\n"
            f"{reasons}\nMend these, and run the same command again with --resume."
        )
