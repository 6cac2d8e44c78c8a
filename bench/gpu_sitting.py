"""A sitting: one check after the other, each with a verdict, and the table of what they found."""

import contextlib
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

OK, FAIL, SKIPPED = "ok", "fail", "skipped"


class Skip(Exception):  # noqa: N818 - no error
    """The check cannot be made here; why, in half a sentence."""


class Failed(Exception):  # noqa: N818 - a verdict
    """The check was made, and what it found is not what must be."""


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    what: str
    verdict: str
    findings: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Sitting:
    """What all checks share. ``end`` is when (``time.monotonic``) no check may begin any more."""

    models: tuple[str, ...]
    against: tuple[str, ...]
    folder: Path
    end: float

    def left_s(self, share: float = 1.0) -> float:
        """Seconds left, or a share of them."""
        return max(self.end - time.monotonic(), 0) * share


@dataclass(frozen=True, slots=True)
class Check:
    """``make`` returns one line of findings, or raises ``Skip`` or ``Failed``."""

    name: str
    what: str
    make: Callable[[Sitting], str]


def run(checks: Sequence[Check], sitting: Sitting) -> Iterator[Result]:
    """Each check in turn. Whatever else one of them raises is a failure as well."""
    for check in checks:
        start = time.monotonic()
        try:
            if not sitting.left_s():
                raise Skip("no time is left: give more --minutes")
            verdict, findings = OK, check.make(sitting)
        except Skip as reason:
            verdict, findings = SKIPPED, str(reason)
        except Failed as reason:
            verdict, findings = FAIL, str(reason)
        except Exception as error:  # a check that breaks must not stop the sitting
            verdict, findings = FAIL, f"{type(error).__name__}: {error}"
        findings = " ".join(findings.split())[:400]
        yield Result(check.name, check.what, verdict, findings, time.monotonic() - start)
        _let_go()


def _let_go() -> None:
    """The next check finds an empty device; not after an error that has broken CUDA itself."""
    gc.collect()
    if torch.cuda.is_available():
        with contextlib.suppress(RuntimeError):
            torch.cuda.synchronize()
            torch.cuda.empty_cache()


def table(facts: Sequence[str], results: Sequence[Result]) -> str:
    """Markdown: what it was measured on, and a row for each check."""
    rows = [
        f"| {r.name} | {r.what} | {_bold(r.verdict)} | {_cell(r.findings)} | {r.seconds:.0f} |"
        for r in results
    ]
    head = ["| check | of | verdict | findings | s |", "|---|---|---|---|---|"]
    return "\n".join([*(f"- {_cell(fact)}" for fact in facts), "", *head, *rows])


def _bold(verdict: str) -> str:
    return f"**{verdict}**" if verdict == FAIL else verdict


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
