"""What MkDocs does besides showing pages: an API reference, a page a module, and pages of the root folder.

Nothing of it is written to the repository, so that the pages stay plain Markdown.
"""

import ast
import itertools
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
OF_ROOT = ("CONTRIBUTING.md", "CHANGELOG.md")


def modules() -> list[str]:
    """Return the modules that define something public, by dotted name."""
    found = []
    for path in sorted((ROOT / "cuvis_ai").rglob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        defined = [node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        if path.name != "__init__.py" and any(not name.startswith("_") for name in defined):
            found.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return found


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    names = modules()
    for name in names:
        text = f"# {name}\n\n::: {name}\n"
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    index = "\n".join(f"- [{name}]({name}.md)" for name in names)
    files.append(File.generated(config, "reference/index.md", content=f"# API\n\n{index}\n"))
    for name in OF_ROOT:
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, name, content=text))
    return files


def on_config(config: Any) -> Any:
    """Add them to the navigation."""
    pages: list[Any] = ["reference/index.md"]
    for folder, names in itertools.groupby(modules(), lambda name: ".".join(name.split(".")[:2])):
        pages.append({folder: [{name: f"reference/{name}.md"} for name in names]})
    config.nav = [
        *config.nav,
        *({name.removesuffix(".md").title(): name} for name in OF_ROOT),
        {"API": pages},
    ]
    return config


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Let links to the root folder's pages go to where they are in the site."""
    return re.sub(rf"\]\(\.\./((?:\.\./)?(?:{'|'.join(OF_ROOT)}))", r"](\1", markdown)
