"""Errors of the project: none carries a control sequence of a file to the terminal."""

import inspect
import pickle

import pytest

from cuvis_ai import errors
from cuvis_ai.errors import escaped

ERRORS = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, Exception)]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_messages_are_printable(error: type[Exception]) -> None:
    raised = error("a\x1b[2J\u202eb\nc\x07")
    assert str(raised) == "a\\x1b[2J\\u202eb\nc\\x07"
    assert str(pickle.loads(pickle.dumps(raised))) == str(raised)


def test_what_is_printable_stays() -> None:
    assert escaped("µm \t ü\n日本") == "µm \t ü\n日本"
    assert escaped("\ud800\x00\r") == "\\ud800\\x00\\r"
