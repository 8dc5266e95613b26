"""What notebooks are shown is text, whatever it holds."""

from cuvis_ai.html_table import facts_table


def test_markup_and_control_characters_are_text() -> None:
    bait = "<script>stolen()</script>\x1b[2J"
    html = facts_table(bait, [(bait, bait)], before=bait)
    assert "<script" not in html
    assert "\x1b" not in html
    assert html.count("&lt;script&gt;") == 4
