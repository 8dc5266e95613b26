"""A saved graph's two members."""

from tests.pipeline.saving.conftest import whole

__all__ = ["whole"]
