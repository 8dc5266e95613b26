"""A monitor that prints."""

from collections.abc import Sequence

from typing_extensions import override

from cuvis_ai.training.monitors.protocol import Monitor
from cuvis_ai.training.monitors.records import Scalar


class Printed(Monitor):
    """Prints each value as it is logged."""

    @override
    def log_scalars(self, scalars: Sequence[Scalar]) -> None:
        for scalar in scalars:
            print(f"{scalar.name} = {scalar.value:.3g}")
