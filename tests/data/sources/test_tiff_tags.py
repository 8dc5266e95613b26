import pytest

from cuvis_ai.data.sources.tiff_tags import page_axes


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ('{"shape": [30, 12, 10], "axes": "CYX"}', ("chw", None)),
        ('{"shape": [12, 10, 30], "axes": "YXC"}', ("hwc", None)),
        ('{"shape": [12, 30, 10], "axes": "YQX"}', ("hcw", None)),
        ('{"shape": [1, 12, 10, 30, 1], "axes": "TYXCS"}', ("hwc", None)),
        ('{"shape": [12, 10, 30]}', (None, None)),
        ("ImageJ=1.54f\nimages=30\n", ("chw", None)),
        (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">',
            ("chw", None),
        ),
        ("a tray of lentils", (None, "chw")),
        ("{broken", (None, "chw")),
        ('["shape"]', (None, "chw")),
        ("", (None, "chw")),
    ],
)
def test_a_description_says_what_pages_are(description: str, said: tuple[str | None, str | None]) -> None:
    assert page_axes(description) == said
