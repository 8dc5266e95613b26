"""`StrPath`: how users may give the name of a file or folder."""

import os
from typing import TypeAlias

StrPath: TypeAlias = str | os.PathLike[str]
"""A name as text, or an object that stands for one, such as a `pathlib.Path`."""
