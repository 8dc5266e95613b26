"""The results of a study of bands: rows, a table, a picture."""

import csv
import io
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cuvis_ai.paths import StrPath
from cuvis_ai.stats import ChannelMoments, Moments, MomentsByClass
from cuvis_ai.training.visualizations.drawing.chosen_bands import draw_study
from cuvis_ai.training.visualizations.spectra_plot import spectra_of
from cuvis_ai.whole_file import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """What k bands of one method are worth.

    Example:
        >>> from cuvis_ai.band_study.study import study_bands
        >>> row = study_bands("scene.hdr", k=[2]).rows[0]
        >>> row.method, len(row.bands), 0 < row.explained <= 1
        ('explained', 2, True)
    """

    method: str
    k: int
    bands: tuple[int, ...]
    """In the files, in order; chosen from all data."""
    wavelengths: tuple[float, ...] | None
    """Their centres in nm."""
    regions: tuple[str, ...] | None
    """How these parts of the spectrum are called."""
    explained: float
    """R²: the mean share of the other bands' variance that a linear map of these explains."""
    explained_held_out: float
    """The same of bands chosen on one half, on the other; mean over four."""
    separability: float | None
    """Mahalanobis distance of the two classes in these bands; None without masks."""
    auroc: float | None
    """Of RX on the other halves, in bands chosen on one; mean over halves and scenes."""
    auroc_error: float | None
    """Its standard error."""
    average_precision: float | None
    average_precision_error: float | None
    stability: float
    """Share of bands that the choices on opposite halves have in common, within ± 2 bands."""
    sufficient: bool
    """Whether this is the smallest k within one standard error of the best of its method."""


@dataclass(frozen=True, kw_only=True)
class BandStudy:
    """The rows of a study, methods in the order asked for, then all bands; and the data for its picture.

    Example:
        >>> from cuvis_ai.band_study.study import study_bands
        >>> study = study_bands("scene.hdr", k=[2])
        >>> study.wavelengths[:2]
        (450.0, 500.0)
    """

    rows: tuple[StudyRow, ...]
    moments: MomentsByClass
    kept: tuple[int, ...]
    wavelengths: tuple[float, ...] | None

    def csv(self) -> str:
        """Return the rows as text, values of one cell separated by blanks."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(one.name for one in fields(StudyRow))
        for row in self.rows:
            writer.writerow(" ".join(map(str, v)) if isinstance(v, tuple) else v for v in astuple(row))
        return text.getvalue()

    def figure(self) -> "Figure":
        """Return the bands of the first method for each k, above the mean spectra."""
        first = [row for row in self.rows if row.method == self.rows[0].method]
        known = self.moments.truth_known
        spectra = {
            "normal" if known else "all": spectra_of(_channel_moments(self.moments.normal)),
            "anomalous": spectra_of(_channel_moments(self.moments.anomalous)),
        }
        place = {band: i for i, band in enumerate(self.kept)}
        choices = {row.k: [place[band] for band in row.bands] for row in first}
        sufficient = next((row.k for row in first if row.sufficient), None)
        nm = None if self.wavelengths is None else np.array(self.wavelengths)
        return draw_study(choices, spectra, nm, len(self.kept), sufficient)

    def write(self, folder: StrPath) -> list[Path]:
        """Write `bands.csv` and `bands.png` to a folder; return their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        picture = io.BytesIO()
        self.figure().savefig(picture, format="png")
        write_whole(folder / "bands.csv", self.csv().encode())
        write_whole(folder / "bands.png", picture.getvalue())
        return [folder / "bands.csv", folder / "bands.png"]


def _channel_moments(moments: Moments) -> ChannelMoments:
    """Return the moments of channels alone."""
    second = moments.second.diagonal() if moments.count else moments.second
    return ChannelMoments(moments.count, moments.mean, second)
