"""Pictures of a page lie in it as long as it stays small, else beside it."""

import base64

from cuvis_ai.training.monitors.report.rendering import Pictures, rendered


def test_pictures_lie_in_the_page_until_it_is_full() -> None:
    content = b"0123456789"
    inside = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    pictures = Pictures(len(inside))
    assert pictures.source(content, "a.png") == inside
    assert pictures.left == 0
    assert pictures.source(content, "b c/ä?.png") == "b%20c/%C3%A4%3F.png"
    assert pictures.beside == {"b c/ä?.png": content}


def test_a_page_shows_values_as_text() -> None:
    empty = dict.fromkeys(("measures", "curves", "overview", "scenes"), ())
    page = rendered("detections.html", title="<b>", summary="<i>", threshold="&", **empty)
    assert "<h1>&lt;b&gt;</h1>" in page
    assert "<i>" not in page
