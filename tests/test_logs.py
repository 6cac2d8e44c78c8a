"""The log's two formats, its levels, and that passwords do not get into it."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from edge.logs import configure, redact

SECRET_URL = "rtsp://user:hunter2@10.0.0.4/stream1"


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)


def logged(format: str, level: str = "info") -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    configure(level, format, stream)  # type: ignore[arg-type]
    return logging.getLogger("edge.capture.camera"), stream


def test_text_lines_begin_with_the_time_and_the_level() -> None:
    log, stream = logged("text")
    log.info("camera %s: online", "dock")
    log.error("camera dock: no such host")
    first, second = stream.getvalue().splitlines()
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(time + " INFO  camera dock: online", first)
    assert re.fullmatch(time + " ERROR camera dock: no such host", second)


def test_the_time_is_that_of_the_record_in_utc() -> None:
    log, stream = logged("text")
    record = log.makeRecord("edge", logging.INFO, "", 0, "x", (), None)
    record.created = 1795329074.218
    log.handle(record)
    assert stream.getvalue() == "2026-11-22T06:31:14.218Z INFO  x\n"


def test_json_is_one_object_a_line_with_the_exception_as_text() -> None:
    log, stream = logged("json")
    log.warning("two\nlines")
    try:
        raise OSError("gone")
    except OSError:
        log.exception("camera dock")
    plain, failed = map(json.loads, stream.getvalue().splitlines())
    assert set(plain) == {"time", "level", "logger", "message"}
    assert (plain["level"], plain["message"]) == ("warning", "two\nlines")
    assert set(failed) == {"time", "level", "logger", "message", "exception"}
    assert (failed["level"], failed["logger"]) == ("error", "edge.capture.camera")
    assert failed["exception"].startswith("Traceback")
    assert failed["exception"].endswith("OSError: gone")


@pytest.mark.parametrize("format", ["text", "json"])
def test_no_password_gets_into_the_log(format: str) -> None:
    log, stream = logged(format)
    log.warning("cannot open " + SECRET_URL)
    log.warning("cannot open %s", SECRET_URL)
    try:
        raise OSError(f"{SECRET_URL}: refused")
    except OSError:
        log.exception("failed", stack_info=True)
    assert "hunter2" not in stream.getvalue()
    assert stream.getvalue().count("rtsp://***@10.0.0.4/stream1") == 3


def test_a_record_with_wrong_arguments_is_logged_without_its_password() -> None:
    log, stream = logged("text")
    ours = logging.getLogger().handlers[-1]  # pytest's own handler refuses such a record
    ours.handle(log.makeRecord("edge", logging.INFO, "", 0, "two %s %s", (SECRET_URL,), None))
    assert stream.getvalue().endswith("two %s %s ('rtsp://***@10.0.0.4/stream1',)\n")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("rtsp://u:p@h/x and mqtts://a:b@c", "rtsp://***@h/x and mqtts://***@c"),
        ("rtsp://u:pa/s?s@w@h/x", "rtsp://***@h/x"),
        ("http://h/x?user=a&password=b&n=1", "http://h/x?user=a&password=***&n=1"),
        ("rtspsrc user-pw=abc ! x", "rtspsrc user-pw=*** ! x"),
        ("http://127.0.0.1:8080/ for bob@example", "http://127.0.0.1:8080/ for bob@example"),
    ],
)
def test_redact_masks_credentials_and_leaves_the_rest(text: str, masked: str) -> None:
    assert redact(text) == masked


def test_level_is_obeyed() -> None:
    log, stream = logged("text", "warning")
    log.info("no")
    log.warning("yes")
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["yes"]


@pytest.mark.parametrize("library", ["uvicorn", "amqtt", "paho", "PIL", "matplotlib"])
def test_libraries_are_not_noisier_than_a_warning(library: str) -> None:
    _, stream = logged("text", "debug")
    log = logging.getLogger(f"{library}.part")
    log.info("chatter")
    log.warning("worth it")
    assert len(stream.getvalue().splitlines()) == 1
    configure("error", "text", stream)
    log.warning("no longer")
    assert len(stream.getvalue().splitlines()) == 1


def test_a_second_call_replaces_the_first() -> None:
    _, first = logged("text")
    log, second = logged("text")
    log.info("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1
