"""Names of the parts of the spectrum, as remote sensing calls them."""

_UP_TO = (
    (400.0, "ultraviolet"),
    (450.0, "violet"),
    (495.0, "blue"),
    (570.0, "green"),
    (590.0, "yellow"),
    (620.0, "orange"),
    (680.0, "red"),
    (750.0, "red edge"),
    (1000.0, "near infrared"),
    (2500.0, "shortwave infrared"),
    (5000.0, "midwave infrared"),
)


def region(nm: float) -> str:
    """Return the name of the part of the spectrum that a wavelength lies in.

    Example:
        >>> region(550.0)
        'green'
    """
    return next((name for limit, name in _UP_TO if nm < limit), "longwave infrared")
