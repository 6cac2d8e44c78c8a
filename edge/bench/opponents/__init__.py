"""The packages to compare with. The scripts beside this file run in *their* environments.

Each script is started by an opponent's own interpreter and imports nothing of this package but
its neighbours, which need no more than torch and NumPy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
OURS = FOLDER / "run_ours.py"


@dataclass(frozen=True, slots=True)
class Opponent:
    """A package: what pip installs for it beside torch, and the script that runs it.

    ``module`` is what an environment that has it can import.
    """

    version: str
    module: str
    requirements: tuple[str, ...]
    script: Path


OPPONENTS: Mapping[str, Opponent] = {
    "rfdetr": Opponent(
        "1.11.2",
        "rfdetr",
        ("rfdetr==1.11.2", "transformers==5.20.2"),  # the last transformers for Python 3.10
        FOLDER / "run_rfdetr.py",
    ),
    "inference-models": Opponent(
        "0.39.6",
        "inference_models",
        ("inference-models==0.39.6",),
        FOLDER / "run_inference_models.py",
    ),
}
