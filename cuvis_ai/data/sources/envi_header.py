"""ENVI headers: their fields and the numbers in them."""

import re
from dataclasses import dataclass
from pathlib import Path

from cuvis_ai.errors import CubeFormatError

_COMMENT = re.compile(r"^[ \t]*;.*$", re.MULTILINE)
_BLANKS = re.compile(r"\s*")


@dataclass(frozen=True)
class EnviHeader:
    """The fields of a header by their lower-case names; braces removed."""

    path: Path
    fields: dict[str, str]

    def count(self, name: str, *, least: int, default: int | None = None) -> int:
        """Return a whole number; an error names the field."""
        if name not in self.fields and default is not None:
            return default
        if name not in self.fields:
            raise CubeFormatError(
                f"{self.path}: expected a field `{name}`, got {sorted(self.fields)}. Add it."
            )
        text = self.fields[name].partition(";")[0].strip()
        try:
            value = float(text)
        except ValueError as err:
            raise CubeFormatError(
                f"{self.path}: expected a number for `{name}`, got {text!r}. Correct it."
            ) from err
        if not value.is_integer() or value < least:
            raise CubeFormatError(
                f"{self.path}: expected `{name}` to be an integer from {least} on, got {value:g}."
            )
        return int(value)

    def numbers(self, name: str) -> list[float] | None:
        """Return a list of numbers, None if the header has no such field."""
        if name not in self.fields:
            return None
        words = re.split(r"[,\s]+", re.sub(r";[^\n]*", "", self.fields[name]).strip(" \t\r\n,"))
        try:
            return [float(word) for word in words if word] or None
        except ValueError as err:
            raise CubeFormatError(
                f"{self.path}: expected numbers for `{name}`, got: {err}. Correct it."
            ) from err


def header_fields(path: Path) -> dict[str, str]:
    """Parse a header, in one walk over its text; a field given twice counts as given last.

    Underscores in names, as some programs write them, are blanks where no field has the name with blanks.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    text = _COMMENT.sub("", "\n".join(text.splitlines()))
    fields, line = {}, 0
    while (equals := text.find("=", line)) >= 0:
        name = " ".join(text[text.rfind("\n", line, equals) + 1 or line : equals].lower().split())
        value, end = _value(text, equals + 1)
        if not name or "{" in name or "}" in name:
            end = equals
        else:
            fields[name] = value
        line = text.find("\n", end)
        if line < 0:
            break
    for name in [name for name in fields if "_" in name]:
        fields.setdefault(" ".join(name.replace("_", " ").split()), fields.pop(name))
    return fields


def _value(text: str, start: int) -> tuple[str, int]:
    """Return the value that begins at a position, without its braces, and where it ends."""
    brace = _BLANKS.match(text, start).end()  # type: ignore[union-attr]  # it matches nothing, too
    if text[brace : brace + 1] != "{":
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        return text[start:end].strip(), end
    end = text.find("}", brace)
    if end >= 0:
        return text[brace + 1 : end].strip(), end
    # Not closed: it ends before the next field, and its brace stays, so that it is no number.
    end = text.rfind("\n", brace, max(text.find("=", brace), brace))
    end = len(text) if end < 0 else end
    return text[brace:end].strip(), end
