from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[1] / "data" / "demo_golden.npz"


@pytest.fixture(scope="session")
def demo_golden() -> dict[str, np.ndarray]:
    """One frame of the synthetic camera and the official model's outputs for it."""
    with np.load(GOLDEN) as file:
        return dict(file)
