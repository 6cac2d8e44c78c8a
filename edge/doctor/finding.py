"""What a check says: one line, and the fix where something is wrong."""

from typing import Literal, NamedTuple

Level = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    level: Level
    subject: str  # what was looked at, in one or two words: "torch", "camera dock"
    what: str
    fix: str = ""  # a command or one sentence; never empty for warn and fail


def ok(subject: str, what: str) -> Finding:
    return Finding("ok", subject, what)


def warn(subject: str, what: str, fix: str) -> Finding:
    """It works, but not as well or not as long as it should."""
    return Finding("warn", subject, what, fix)


def fail(subject: str, what: str, fix: str) -> Finding:
    """The daemon will not do its work like this."""
    return Finding("fail", subject, what, fix)
