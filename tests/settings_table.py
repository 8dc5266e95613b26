"""The table of `docs/configuration.md`: every setting of `TrainingConfig` and its default, from the dataclasses.

`python -m tests.settings_table` prints it.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from cuvis_ai.training.config import TrainingConfig


def field_docs(cls: type[Any]) -> dict[str, str]:
    """Return the first paragraph that stands below each field of a dataclass."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(inspect.cleandoc(text).partition("\n\n")[0].split())
    return found


def default_of(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def rows(cls: type[Any] = TrainingConfig, path: str = "training") -> Iterator[tuple[str, str, str]]:
    """Yield key, default in YAML's words, and meaning; nested settings in place of their own row."""
    docs = field_docs(cls)
    for field in fields(cls):
        key, default = f"{path}.{field.name}", default_of(field)
        if is_dataclass(default):
            yield from rows(type(default), key)
        else:
            yield key, in_yaml(default), docs[field.name]


def in_yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(in_yaml, value))}]"
    return f'"{value}"' if isinstance(value, str) and value.isdigit() else str(value)


def table() -> str:
    """Return the table in Markdown."""
    lines = ["| key | default | meaning |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| `{key}` | `{default}` | {text} |" for key, default, text in rows())])


if __name__ == "__main__":
    print(table())
