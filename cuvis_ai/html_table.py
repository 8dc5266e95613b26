"""A table in HTML, as notebooks show it."""

from collections.abc import Iterable
from html import escape

from cuvis_ai.errors import escaped


def facts_table(title: str, facts: Iterable[tuple[str, str]], before: str = "") -> str:
    """Return facts as a table below a title; everything is shown as text, whatever it holds.

    Args:
        title: stands above.
        facts: names and texts.
        before: lines that stand between title and table, their spaces as they are.

    Example:
        >>> facts_table("<a>", [("bands", "3")])
        '<b>&lt;a&gt;</b><table><tr><th style="text-align:left">bands</th>...3</td></tr></table>'
    """
    left = ' style="text-align:left"'
    rows = "".join(
        f"<tr><th{left}>{_text(name)}</th><td{left}>{_text(fact)}</td></tr>" for name, fact in facts
    )
    lines = f"<pre>{_text(before)}</pre>" if before else ""
    return f"<b>{_text(title)}</b>{lines}<table>{rows}</table>"


def _text(text: str) -> str:
    return escape(escaped(text))
