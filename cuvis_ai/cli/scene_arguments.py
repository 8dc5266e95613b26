"""Arguments that commands on scenes share: which scenes, how they are read, what is written of them."""

from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction
from pathlib import Path

from cuvis_ai.data.format_search import allow_formats
from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.prediction.writers import WRITERS


def add_scene_arguments(parser: ArgumentParser, before: str = "") -> None:
    """Add which scenes are read, and how.

    Args:
        parser: takes them.
        before: what the help says before how scenes are named.
    """
    parser.add_argument(
        "scenes",
        nargs="+",
        metavar="SCENE",
        help=f"{before}file, folder, pattern, or a .txt with one of these a line",
    )
    parser.add_argument("--axes", help='order of the axes of arrays, such as "chw"')
    parser.add_argument("--no-data", type=float, help="value that stands for no data")
    parser.add_argument(
        "--scaled", action=BooleanOptionalAction, default=None,
        help="apply the scale factors that files declare (default: as the graph was trained)",
    )  # fmt: skip
    parser.add_argument("--saturation", type=float, help="level from which on a band is saturated")
    parser.add_argument(
        "--bad-bands", type=numbers, metavar="N,N,…", help="bands to leave out, counted from 0"
    )


def add_truth_arguments(parser: ArgumentParser, purpose: str = "") -> None:
    """Add where masks are, and what their values mean.

    Args:
        parser: takes them.
        purpose: what the help says that they are for.
    """
    parser.add_argument(
        "--masks", type=Path,
        help=f"{purpose}folder of masks that are called as the scenes are, or the file of one",
    )  # fmt: skip
    parser.add_argument("--mask-key", help="the mask's array in a file of several, also the scene's own")
    parser.add_argument(
        "--anomaly-label", type=float, action="append", default=[], dest="anomaly_labels",
        help="value of masks that means an anomaly (default: all but 0); repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--ignore-label", type=float, action="append", default=[], dest="ignore_labels",
        help="value of masks that means unknown: these pixels do not count; repeatable",
    )  # fmt: skip


def add_allow(parser: ArgumentParser) -> None:
    """Add the packages whose code may run: classes that a graph names, and formats of scenes."""
    parser.add_argument(
        "--allow", action="append", default=[], type=_with_its_formats, metavar="PACKAGE",
        help="a package of your own, or a plug-in, whose nodes and formats may be used; repeatable",
    )  # fmt: skip


def _with_its_formats(package: str) -> str:
    try:
        allow_formats([package])
    except ConfigError as err:
        raise ArgumentTypeError(str(err)) from err
    return package


def add_output_arguments(parser: ArgumentParser, *, found: bool = False) -> None:
    """Add what is written of each scene, and how a run goes on where one stood.

    Args:
        parser: takes them.
        found: whether masks and detections are written unless the user says otherwise.
    """
    default = f"(default: {'yes' if found else 'no'})"
    parser.add_argument("--format", choices=sorted(WRITERS), default="envi", help="of maps (default: envi)")
    parser.add_argument(
        "--mask", action=BooleanOptionalAction, default=found,
        help=f"write 1 above the threshold, else 0 {default}",
    )  # fmt: skip
    parser.add_argument(
        "--detections", action=BooleanOptionalAction, default=found,
        help=f"write connected detections as GeoJSON and CSV {default}",
    )  # fmt: skip
    parser.add_argument(
        "--picture", action=BooleanOptionalAction, default=True,
        help="draw each scene with its scores (default: yes)",
    )  # fmt: skip
    parser.add_argument("--threshold", type=float, help="in place of the graph's stored threshold")
    parser.add_argument(
        "--false-alarm-rate",
        type=float,
        help="share of normal pixels above the threshold: as the calibrated tail expects",
    )
    parser.add_argument("--min-pixels", type=int, default=1, help="leave out smaller detections (default: 1)")
    parser.add_argument("--top", type=int, help="at most so many detections a scene, the strongest")
    parser.add_argument(
        "--shard", type=share, default=(1, 1), metavar="I/N", help="do the I-th of N shares, from 1"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace maps that stand in the folder")
    parser.add_argument("--resume", action="store_true", help="do only what an earlier run left")


def share(text: str) -> tuple[int, int]:
    """Return "i/n" as two numbers."""
    i, _, n = text.partition("/")
    return int(i), int(n)


def numbers(text: str) -> list[int]:
    """Return "i,j,…" as numbers."""
    return [int(number) for number in text.split(",") if number.strip()]
