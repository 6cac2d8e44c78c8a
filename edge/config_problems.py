"""What pydantic found wrong, in plain sentences."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from edge.config_file import VARIABLE, Document, KeyPath, key_text
from edge.spelling import did_you_mean

SHAPE = "shape"  # our own kind of error: neither of the shapes that a union's members have

_SENTENCES = {
    "missing": "is required",
    "string_type": "must be text",
    "path_type": "must be text",
    "string_too_short": "must not be empty",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "list_type": "must be a list",
    "too_short": "must have at least {min_length} entries",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "tuple_type": "must be a point, [x, y]",
    "too_long": "must be a point, [x, y]",  # points are the only values with a greatest length
    "value_error": "{error}",
}


def explain(error: ValidationError, schema: type[BaseModel]) -> Iterator[tuple[KeyPath, str]]:
    """One key and one sentence for each thing wrong. ``schema`` is what was validated against.

    Parts of a path in angle brackets, ``<list>``, are the tags by which a union's members are told
    apart; no key of the file is called so.
    """
    for details in error.errors(include_url=False):
        path = tuple(part for part in details["loc"] if not re.match(r"<\w+>$", str(part)))
        kind, context = details["type"], details.get("ctx", {})
        if kind == "extra_forbidden":
            yield path, "unknown key" + _nearest_key(path, schema)
        elif kind == "literal_error":
            allowed = re.findall(r"'([^']*)'", context["expected"])
            hint = did_you_mean(str(details["input"]), allowed)
            yield path, f"must be one of {', '.join(allowed)}{hint}"
        elif kind == "missing" and isinstance(path[-1], int):  # [x] where [x, y] should be
            yield path[:-1], _SENTENCES["tuple_type"]
        elif kind == "too_short" and context["min_length"] == 1:
            yield path, "must not be empty"
        elif kind in _SENTENCES:
            yield path, _SENTENCES[kind].format(**context)
        elif kind == SHAPE:
            yield path, details["msg"]
        else:  # a kind that no key can have today
            yield path, "is not valid"


def problem_lines(
    file: str, problems: Iterable[tuple[KeyPath, str]], document: Document
) -> list[str]:
    """``FILE: path.to.key: what is wrong``, each once and in the order of the file."""
    lines = []
    for path, sentence in sorted(problems, key=lambda problem: document.place(problem[0])):
        shown = _masked(sentence, path, document)
        line = f"{file}: {key_text(path)}: {shown}" if path else f"{file}: {shown}"
        lines.append("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line))
    return list(dict.fromkeys(lines))


def _masked(sentence: str, path: KeyPath, document: Document) -> str:
    """The sentence without what a variable brought into it, which may be a secret.

    A quote is kept only where it stands in the file as it is. A path is shown as the file has it,
    with the variable's name.
    """
    texts = [text for key, text in document.from_variables.items() if key[: len(path)] == path]
    if not texts:
        return sentence
    written = "\0".join(texts)
    is_path = key_text(path).endswith(("path", "_file"))

    def shown(quote: re.Match[str]) -> str:
        if quote[1] in VARIABLE.sub("\0", written):
            return quote[0]
        return f"'{written}'" if is_path else "'***'"

    head, suggestion, tail = sentence.partition(" (did you mean")
    return re.sub(r"'(.*)'", shown, head, flags=re.DOTALL) + suggestion + tail


def _nearest_key(path: KeyPath, schema: type[BaseModel]) -> str:
    wrong = str(path[-1])
    for known in all_keys(schema):
        if known[-1] == wrong:  # the right name, in the wrong section
            return f" (did you mean '{key_text(known)}'?)"
    section = schema
    for part in path[:-1]:
        field = None if isinstance(part, int) else _fields(section).get(part)
        section = (field and _section_within(field.annotation)) or section
    return did_you_mean(wrong, _fields(section))


def _fields(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """The section's fields by the name that they have in the file."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _section_within(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_section_within(argument) for argument in get_args(annotation))
    return next((section for section in found if section), None)


def all_keys(section: type[BaseModel], above: KeyPath = ()) -> Iterator[KeyPath]:
    """The path of every key there is; an entry of a list is ``cameras[]``."""
    for name, field in _fields(section).items():
        yield (*above, name)
        inner = _section_within(field.annotation)
        if inner:
            many = "[]" if get_origin(field.annotation) is list else ""
            yield from all_keys(inner, (*above, name + many))
