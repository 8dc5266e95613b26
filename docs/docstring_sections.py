"""What Griffe is told of our docstrings: `Example` is code, the lines of `State` and `Shape` are lists."""

import re
from typing import Any

import griffe

LISTS = ("State", "Shape")


def rewritten(docstring: str) -> str:
    """Return a docstring with its sections in Griffe's words."""
    text = re.sub(r"^Example:$", "Examples:", docstring, flags=re.MULTILINE)
    for name in LISTS:
        # The section's lines, each of which begins an item unless it is indented further.
        text = re.sub(
            rf"(?<=^{name}:\n)(?:    .*\n?)+",
            lambda found: re.sub(r"^    (?=\S)", "    - ", found[0], flags=re.MULTILINE),
            text,
            flags=re.MULTILINE,
        )
    return text


class DocstringSections(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite an object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = rewritten(obj.docstring.value)
