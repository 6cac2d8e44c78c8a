"""Reading the configuration file: YAML without its traps, and ``${NAME}`` replaced.

Every scalar stays the text that stands in the file (or null); the settings decide what a text
means. So `id: no` is the text "no" and not false, `007` keeps its zeros, and `"1883"` and
`${PORT}` can be ports.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

KeyPath = tuple[str | int, ...]

_NULL, _MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "timestamp")}
VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|(?P<broken>\{))")
_USER_AND_PASSWORD = re.compile(r"(?<=://)[^/?#\s]*(?=@)")


_MOST_VALUES = 100_000


class _Loader(yaml.SafeLoader):
    """Knows of null and of ``<<``; every other plain scalar is text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (declared so by PyYAML)
        first: [(tag, pattern) for tag, pattern in resolvers if tag in (_NULL, _MERGE)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def key_text(path: KeyPath) -> str:
    """A key's path as a person reads it: ``cameras[1].source``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


@dataclass
class Document:
    """What stands in the file, before anybody asked whether it makes sense.

    ``order`` numbers the keys as they stand in the file. ``from_variables`` has the text,
    as it stands in the file, of each value with a variable in it: what the variable holds must not
    be repeated in a message. ``problems`` are those found so far; a key in ``unusable`` has one
    and deserves no second.
    """

    values: dict[str, Any] = field(default_factory=dict)
    order: dict[KeyPath, int] = field(default_factory=dict)
    from_variables: dict[KeyPath, str] = field(default_factory=dict)
    unusable: set[KeyPath] = field(default_factory=set)
    problems: list[tuple[KeyPath, str]] = field(default_factory=list)

    def place(self, path: KeyPath) -> int:
        """Where the key stands in the file; for one that is missing, where its section does."""
        while path and path not in self.order:
            path = path[:-1]
        return self.order.get(path, -1)


def read_document(file: Path, environ: Mapping[str, str]) -> Document:
    """Read ``file``. Raises ``ValueError`` with one sentence where it is no YAML mapping at all."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError("no such file") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(_syntax_problem(error, text)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        raise ValueError(
            f"line {line}, column {column}: not valid YAML: a character that may not stand there"
        ) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if root is None:
        raise ValueError("is empty")
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("must be a mapping of keys to values, like `model:` and `cameras:`")
    try:
        return _Walk(environ).document(root)
    except RecursionError:  # aliases of aliases of aliases
        raise ValueError("nested too deeply") from None


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> str:
    what = f"not valid YAML: {error.problem or error.context}"
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return what
    lines = text.splitlines()
    if mark.line < len(lines) and re.search(r":\s*[a-z]+:\s*$", lines[mark.line]):
        what += " (a value with a : at its end needs quotes)"
    elif mark.line < len(lines) and re.search(r"[{\[].*\$\{", lines[mark.line]):
        what += " (inside { } and [ ] a value with ${NAME} needs quotes)"
    return f"line {mark.line + 1}, column {mark.column + 1}: {what}"


class _Walk:
    """One way through the YAML tree, from the top of the file to its end."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._document = Document()
        self._open: list[yaml.Node] = []
        self._values_left = _MOST_VALUES

    def document(self, root: yaml.MappingNode) -> Document:
        self._document.values = self._mapping(root, ())
        return self._document

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._values_left -= 1
        if self._values_left < 0:  # aliases of aliases multiply
            raise ValueError(f"has more than {_MOST_VALUES} values")
        if node in self._open:
            self._refuse(path, "contains itself")
            return None
        self._document.order.setdefault(path, len(self._document.order))
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]
            return self._scalar(node, path) if isinstance(node, yaml.ScalarNode) else None
        finally:
            self._open.pop()

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        lines: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                is_list = isinstance(value_node, yaml.SequenceNode)
                merged.extend(value_node.value if is_list else [value_node])
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._document.problems.append((path, "has a key that is not plain text"))
                continue
            key, line = key_node.value, key_node.start_mark.line + 1
            if key in lines:
                twice = f"is given twice, in lines {lines[key]} and {line}"
                self._document.problems.append(((*path, key), twice))
                continue
            lines[key] = line
            result[key] = self._value(value_node, (*path, key))
        for other in merged:
            inherited = self._value(other, path) if other not in self._open else None
            if not isinstance(inherited, dict):
                self._document.problems.append(
                    (path, "has a << that does not name another mapping")
                )
                continue
            result = {**inherited, **result}
        return result

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> str | None:
        if node.tag == _NULL:
            return None
        if node.tag not in _PLAIN_TAGS:
            shown = node.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(path, f"has a tag that means nothing here: {shown}")
            return None
        return self._replace_variables(node.value, path)

    def _replace_variables(self, text: str, path: KeyPath) -> str:
        credentials = [match.span() for match in _USER_AND_PASSWORD.finditer(text)]

        def replacement(match: re.Match[str]) -> str:
            if match["dollar"]:
                return "$"
            if match["broken"]:
                self._refuse(path, "has a ${ that is not of the form ${NAME}; a dollar sign is $$")
                return ""
            value = self._environ.get(match["name"])
            if value is None:
                self._refuse(path, f"the environment variable {match['name']} is not set")
                return ""
            self._document.from_variables[path] = text
            inside = any(start <= match.start() < end for start, end in credentials)
            return quote(value, safe="") if inside else value

        return VARIABLE.sub(replacement, text)

    def _refuse(self, path: KeyPath, what: str) -> None:
        self._document.unusable.add(path)
        self._document.problems.append((path, what))
