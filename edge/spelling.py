"""The nearest known word, for messages about a misspelt one."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` with the nearest of ``known``, or nothing where none is near."""
    # 0.65 lets a swapped pair of letters through in a word of four, but not "https" for "rtsps".
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.65)
    return f" (did you mean '{near[0]}'?)" if near else ""
