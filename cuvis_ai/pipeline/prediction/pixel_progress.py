"""A progress bar over the pixels of many scenes: scenes done, pixels per second, the time left."""

import contextlib
import sys
from collections.abc import Callable, Iterator

Advance = Callable[[int, int], None]
"""Takes how many pixels, and how many scenes, have been done since."""


@contextlib.contextmanager
def pixel_progress(n_scenes: int, n_pixels: int, *, show: bool = True) -> Iterator[Advance]:
    """Give what advances the bar, which is drawn on standard error if that is a terminal.

    Args:
        n_scenes: how many scenes there are.
        n_pixels: how many pixels they have together.
        show: whether a bar is drawn at all.
    """
    if not (show and sys.stderr.isatty()):
        yield lambda pixels, scenes: None
        return
    # rich takes a tenth of a second to import
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[scenes]}/{task.fields[n_scenes]} scenes"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=n_pixels, scenes=0, n_scenes=n_scenes, rate="")

        def advance(pixels: int, scenes: int) -> None:
            speed = bar.tasks[0].speed or 0.0
            bar.update(
                task,
                advance=pixels,
                scenes=bar.tasks[0].fields["scenes"] + scenes,
                rate=f"{speed / 1e6:.3g} Mpx/s" if speed else "",
            )

        yield advance
