"""The AVIRIS scene "Indian Pines" in tiles, one of its classes taken as the anomaly."""

import importlib.util
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Unpack

import numpy as np

from cuvis_ai.data.loading.dataset import CubeItem
from cuvis_ai.data.mask_sources import mask_in_memory
from cuvis_ai.data.options import SharedArguments
from cuvis_ai.data.tiles import TiledScene
from cuvis_ai.errors import ConfigError, DatasetNotFoundError, import_extra, to_install

CLASSES = (
    "Unlabelled",
    "Alfalfa",
    "Corn-notill",
    "Corn-mintill",
    "Corn",
    "Grass-pasture",
    "Grass-trees",
    "Grass-pasture-mowed",
    "Hay-windrowed",
    "Oats",
    "Soybean-notill",
    "Soybean-mintill",
    "Soybean-clean",
    "Wheat",
    "Woods",
    "Buildings-Grass-Trees-Drives",
    "Stone-Steel-Towers",
)
"""Names of the scene's classes, by class number."""

# fmt: off
_AVIRIS_1992_NM = (
    400.02, 409.82, 419.62, 429.43, 439.25, 449.07, 458.9, 468.73, 478.57, 488.41, 498.26,
    508.12, 517.98, 527.85, 537.72, 547.6, 557.49, 567.38, 577.28, 587.18, 597.09, 607.01,
    616.93, 626.85, 636.78, 646.72, 656.67, 666.61, 676.57, 686.53, 696.5, 686.91, 696.55,
    706.19, 715.83, 725.47, 735.11, 744.74, 754.38, 764.01, 773.64, 783.27, 792.91, 802.53,
    812.16, 821.79, 831.41, 841.04, 850.66, 860.28, 869.91, 879.53, 889.14, 898.76, 908.38,
    917.99, 927.61, 937.22, 946.83, 956.45, 966.06, 975.66, 985.27, 994.88, 1004.48, 1014.09,
    1023.69, 1033.29, 1042.89, 1052.49, 1062.09, 1071.69, 1081.29, 1090.88, 1100.48, 1110.07, 1119.66,
    1129.25, 1138.84, 1148.43, 1158.02, 1167.61, 1177.19, 1186.77, 1196.36, 1205.94, 1215.52, 1225.1,
    1234.68, 1244.26, 1253.83, 1263.41, 1272.98, 1282.55, 1273.0, 1282.96, 1292.93, 1302.89, 1312.85,
    1322.81, 1332.77, 1342.73, 1352.68, 1362.64, 1372.59, 1382.54, 1392.49, 1402.44, 1412.39, 1422.34,
    1432.28, 1442.23, 1452.17, 1462.11, 1472.05, 1481.99, 1491.92, 1501.86, 1511.79, 1521.73, 1531.66,
    1541.59, 1551.52, 1561.44, 1571.37, 1581.3, 1591.22, 1601.14, 1611.06, 1620.98, 1630.9, 1640.81,
    1650.73, 1660.64, 1670.56, 1680.47, 1690.38, 1700.28, 1710.19, 1720.1, 1730.0, 1739.9, 1749.81,
    1759.71, 1769.6, 1779.5, 1789.4, 1799.29, 1809.19, 1819.08, 1828.97, 1838.86, 1848.75, 1858.63,
    1868.52, 1878.4, 1888.28, 1883.24, 1893.25, 1903.26, 1913.26, 1923.27, 1933.27, 1943.27, 1953.26,
    1963.25, 1973.24, 1983.23, 1993.22, 2003.2, 2013.18, 2023.16, 2033.13, 2043.1, 2053.07, 2063.04,
    2073.0, 2082.97, 2092.92, 2102.88, 2112.83, 2122.78, 2132.73, 2142.68, 2152.62, 2162.56, 2172.5,
    2182.43, 2192.37, 2202.3, 2212.22, 2222.15, 2232.07, 2241.99, 2251.9, 2261.82, 2271.73, 2281.64,
    2291.54, 2301.45, 2311.35, 2321.25, 2331.14, 2341.03, 2350.92, 2360.81, 2370.7, 2380.58, 2390.46,
    2400.33, 2410.21, 2420.08, 2429.95, 2439.81, 2449.68, 2459.54, 2469.4, 2479.25, 2489.11, 2498.96,
)
# fmt: on
_REMOVED = (*range(104, 109), *range(150, 164), 220)
"""AVIRIS bands, counted from 1, that water vapour covers and the corrected scene leaves out."""

WAVELENGTHS = tuple(nm for band, nm in enumerate(_AVIRIS_1992_NM, start=1) if band not in _REMOVED)
"""Centres of the scene's 200 bands in nm; the four spectrometers overlap, so not strictly ascending.

From the calibration file of 1992 that Purdue University published with the scene (92AV3C.spc).
"""


class IndianPines(TiledScene):
    """Serve AVIRIS Indian Pines (145x145 pixels, 200 bands, 16 classes) in spatial tiles.

    The scene comes with the `sample` extra: tensorly's wheel carries it, and it is read from there
    without importing tensorly. `labels` are the class numbers, `mask` is one of the classes. With the
    default tile the anomalous pixels of class 16 fall into four tiles, and train, val and test get
    53, 20 and 20 of them.

    Args:
        anomaly_class: number of the class that counts as anomalous, from 1 to 16; 16 are towers of
            stone and steel, 93 pixels.
        tile: height and width of a tile in pixels, or one number for both.
        fractions: shares of train, val and test.
        split_seed: of the deal of tiles without anomalies.
        options: those of `LoadingOptions`, but for `pad`, and of `ReadingOptions`, but for `wavelengths`.

    Raises:
        ConfigError: a value that is impossible.

    Example:
        >>> pines = IndianPines(batch_size=8)
        >>> pines.anomaly_class, len(WAVELENGTHS)
        (16, 200)

    Reference:
        M. Baumgardner, L. Biehl, D. Landgrebe: 220 Band AVIRIS Hyperspectral Image Data Set, June 12,
        1992, Indian Pine Test Site 3. Purdue University Research Repository, 2015, doi:10.4231/R7RX991C.
    """

    def __init__(
        self,
        anomaly_class: int = 16,
        *,
        tile: int | Sequence[int] = 23,
        fractions: Sequence[float] = (0.6, 0.2, 0.2),
        split_seed: int = 0,
        **options: Unpack[SharedArguments],
    ) -> None:
        super().__init__(
            tile=tile, fractions=fractions, split_seed=split_seed, wavelengths=WAVELENGTHS, **options
        )
        if not 1 <= anomaly_class < len(CLASSES):
            raise ConfigError(
                f"IndianPines: expected `anomaly_class` from 1 to {len(CLASSES) - 1}, got {anomaly_class}. "
                f"The classes are {dict(enumerate(CLASSES))}."
            )
        self.anomaly_class = anomaly_class

    def find_scene(self) -> CubeItem:
        """Return the scene with its mask and class numbers.

        Raises:
            MissingExtraError: tensorly is not installed.
            DatasetNotFoundError: tensorly is installed without the scene.
        """
        folder = _package_folder() / "datasets" / "data"
        path, truth = folder / "Indian_pines_corrected.npy", folder / "Indian_pines_gt.npy"
        for file in (path, truth):
            if not file.is_file():
                raise DatasetNotFoundError(
                    f"IndianPines: expected {file}, got no such file. Install a release of tensorly that "
                    f"carries the scene: `{to_install('sample')}`."
                )
        classes = np.load(truth, allow_pickle=False)
        return CubeItem(
            name="indian_pines",
            path=path,
            mask=partial(mask_in_memory, classes == self.anomaly_class),
            labels=partial(mask_in_memory, classes),
        )


def _package_folder() -> Path:
    """Where tensorly is installed; importing it would cost more than a second."""
    spec = importlib.util.find_spec("tensorly")
    if spec is None or spec.origin is None:
        import_extra("tensorly", "sample", "IndianPines")
        raise DatasetNotFoundError(
            "IndianPines: expected tensorly to be installed in a folder, got a package without one. "
            f"Install it with `{to_install('sample')}`."
        )
    return Path(spec.origin).parent
