"""A fitted graph that all tests of pictures share."""

import pytest


@pytest.fixture(scope="session")
def graph():
    from tests.recorded_run import fitted_graph  # After jaxtyping's hook, as in the conftest at the root.

    return fitted_graph()
