"""docs/troubleshooting.md has every finding, in the words of the check that says it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
CHECKS = sorted((REPOSITORY / "edge" / "doctor").glob("*.py"))


def written(node: ast.expr, names: dict[str, ast.expr]) -> str:
    """The text of an expression as the page has it: each variable part is an ellipsis."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(written(part, names) for part in parts)
        case ast.Name(id=name) if name in names:
            return written(names[name], names)
    return "…"


def findings(file: Path) -> Iterator[tuple[str, str, str]]:
    """Level, subject and text of each warning and failure that a file can tell."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in ("subject", "_HUNG"):
                names[name] = node.value
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            level = node.func.id
            if level in ("warn", "fail") and len(node.args) == 3:
                subject, what = (written(argument, names) for argument in node.args[:2])
                yield level, subject, re.sub("…+", "…", what)


SAID = sorted({said for file in CHECKS for said in findings(file)})


@pytest.mark.parametrize(("level", "subject", "what"), SAID)
def test_every_finding_has_its_row(level, subject, what):
    assert f"| {level} | {subject} | {what} | " in PAGE


def test_every_row_is_a_finding():
    rows = re.findall(r"^\| (warn|fail) \| ([^|]+) \| ([^|]+) \| ", PAGE, re.MULTILINE)
    assert sorted(set(rows) - set(SAID)) == []
    assert len(rows) == len(set(rows)) == len(SAID)


def test_every_row_says_why_and_what_to_do():
    rows = [line for line in PAGE.splitlines() if re.match(r"\| (warn|fail) \|", line)]
    assert [row for row in rows if row.count("|") != 6 or "| |" in row] == []


@pytest.mark.parametrize("code", [0, 1, 2, 71, 78])
def test_every_exit_code_is_explained(code):
    assert re.search(rf"^\| {code} \| ", PAGE, re.MULTILINE)


def strings(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def test_what_cameras_and_log_say_is_still_said():
    sources = [file.read_text(encoding="utf-8") for file in (REPOSITORY / "edge").rglob("*.py")]
    said = "\n".join(text for source in sources for text in strings(ast.parse(source)))
    _, _, behind = PAGE.partition("## What a camera says")
    rows = re.findall(r"^\| ([^|]+) \| ", behind, re.MULTILINE)
    quoted = [part.strip() for row in rows if row not in ("says",) for part in row.split("…")]
    assert len(quoted) > 25
    assert [part for part in quoted if part not in said and part != "s"] == []
