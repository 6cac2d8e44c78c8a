"""How a failure ends the process: what is said on stderr, and the exit code."""

import sys
import traceback

from edge.logs import redact

EXIT_FAILED, EXIT_OUT_OF_MEMORY, EXIT_REFUSED = 1, 71, 78


def report(error: BaseException) -> int:
    """Say what went wrong, with a traceback only for what nobody foresaw; returns the exit code."""
    problems = getattr(error, "problems", None)
    if problems is not None:  # of a configuration: each names its file
        _say("\n".join(problems))
        return EXIT_REFUSED
    code = getattr(error, "exit_code", None)
    if code is not None:
        _say(f"rfdetr-edge: {error}")
        return int(code)
    if _is_out_of_memory(error):
        _say(
            "rfdetr-edge: out of device memory: use a smaller model, or free memory"
            f" ({first_line(error)})"
        )
        return EXIT_OUT_OF_MEMORY
    _say("".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip())
    return EXIT_FAILED


def first_line(error: BaseException) -> str:
    """What it says, without what follows; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _say(text: str) -> None:
    print(redact(text), file=sys.stderr)


def _is_out_of_memory(error: BaseException) -> bool:
    if "torch" not in sys.modules:  # then no device was used yet
        return isinstance(error, MemoryError)
    from edge.inference.device import is_out_of_memory

    return is_out_of_memory(error)
