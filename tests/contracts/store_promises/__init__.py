"""The promises of a store, a class for each part; ``store_contract`` puts them together."""

from pathlib import Path

import pytest

# Else a failing assertion of a module that is no test module would not show its values.
pytest.register_assert_rewrite(
    *(f"{__name__}.{path.stem}" for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
)
