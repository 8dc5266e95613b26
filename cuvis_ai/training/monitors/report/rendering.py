"""Pages that need nothing outside themselves, from the templates in this folder."""

import base64
from importlib.resources import files
from typing import Any
from urllib.parse import quote

BESIDE = "report_pictures"
"""The folder beside a page with what would make it too large."""


def rendered(template: str, **content: Any) -> str:
    """Return a page; whatever a value holds is shown as text, never as markup.

    Args:
        template: the file's name; it extends `base.html`, and takes tables from `macros.html`.
        content: what it shows, by name.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # only a page needs it

    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)


def _source(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


class Pictures:
    """Where a page has its pictures from: inside itself as long as it stays small, then from files beside it.

    Args:
        left: bytes that pictures may take within the page.
    """

    def __init__(self, left: int) -> None:
        self.left = left
        self.beside: dict[str, bytes] = {}

    def source(self, content: bytes, path: str, kind: str = "image/png") -> str:
        """Return what an image's `src` says.

        Args:
            content: the file.
            path: where it lies, relative to the page, if it is too much for the page.
            kind: its media type.
        """
        inside = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        if len(inside) <= self.left:
            self.left -= len(inside)
            return inside
        self.beside[path] = content
        return quote(path)
