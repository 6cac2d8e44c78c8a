"""The score threshold of each class row."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from edge.spelling import did_you_mean

Confidence = float | Mapping[str, float]
DEFAULT_CONFIDENCE = 0.5


def row_thresholds(names: Sequence[str | None], confidence: Confidence) -> npt.NDArray[np.float32]:
    """Thresholds float32 [rows] from one number, or from a map by label with a ``default``.

    Raises ``ValueError``, half a sentence, for a label that none of the rows has.
    """
    if not isinstance(confidence, Mapping):
        return np.full(len(names), confidence, np.float32)
    for label in confidence:
        if label != "default" and label not in names:
            raise ValueError(unknown_label(label, names))
    default = confidence.get("default", DEFAULT_CONFIDENCE)
    return np.array([confidence.get(name or "", default) for name in names], np.float32)


def named_thresholds(
    names: Sequence[str | None], confidence: Confidence
) -> npt.NDArray[np.float32]:
    """``row_thresholds`` for what is about objects with a name: no score of an unnamed row is ever
    high enough. Raises ``ValueError`` as it does.
    """
    threshold = row_thresholds(names, confidence)
    threshold[[name is None for name in names]] = np.inf
    return threshold


def unknown_label(label: str, names: Sequence[str | None]) -> str:
    """Half a sentence that says so, with the label that was perhaps meant."""
    hint = did_you_mean(label, [name for name in names if name is not None])
    return f"'{label}' is none of the model's labels{hint}"
