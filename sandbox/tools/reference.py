"""
Writes the pages of ``docs/reference`` that say what docstrings and help texts say already.

``make reference`` runs it; a test fails when a page is not what the code says.
"""

import argparse
import ast
import inspect
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from pkgutil import iter_modules
from typing import get_type_hints

import django
from django.core.management import BaseCommand, load_command_class

from oscar_loyalty import conf, signals
from oscar_loyalty.management import commands
from oscar_loyalty.returns import states

ROOT = Path(__file__).resolve().parents[2]
_KINDS = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    tuple[str, ...]: "list of texts",
}


def pages() -> dict[Path, str]:
    """The text of each generated page by its path."""
    folder = ROOT / "docs" / "reference"
    return {
        folder / "settings.md": describe_settings(),
        folder / "signals.md": describe_signals(),
        folder / "commands.md": describe_commands(),
        folder / "return-states.md": describe_return_states(),
    }


def describe_settings() -> str:
    parts = [_title("Settings", "conf.py", inspect.getdoc(conf))]
    for section, names in _sections_of_settings():
        parts.append(f"## {section}" if section else "")
        parts += [_describe_setting(name) for name in names]
    return _joined(parts)


def describe_signals() -> str:
    parts = [_title("Signals", "signals.py", inspect.getdoc(signals))]
    body = ast.parse(inspect.getsource(signals)).body
    for node, after in pairwise(body):
        if isinstance(node, ast.Assign) and (text := _text_of(after)):
            parts += [f"## `{ast.unparse(node.targets[0])}`", _markdown(text)]
    return _joined(parts)


def describe_commands() -> str:
    parts = [_title("Commands", "management/commands/", "Run each with `python manage.py`.")]
    for module in iter_modules(commands.__path__):
        command = load_command_class("oscar_loyalty", module.name)
        parts += [f"## `{module.name}`", _markdown(command.help)]
        if options := list(_options_of(command, module.name)):
            parts.append("\n".join(["| option | |", "|---|---|", *options]))
    return _joined(parts)


def describe_return_states() -> str:
    rows = [f"| `{state}` | {state.label} | {_name_all(states.FOLLOWS[state])} |" for state in states.State]
    table = "\n".join(["| state | in words | may be followed by |", "|---|---|---|", *rows])
    return _joined([_title("States of a return", "returns/states.py", inspect.getdoc(states)), table])


def _name_all(after: frozenset[states.State]) -> str:
    return ", ".join(f"`{state}`" for state in states.State if state in after) or "nothing: the end"


def _sections_of_settings() -> Iterator[tuple[str, list[str]]]:
    """Properties in the order of the file, under the comments that stand between them."""
    section, names = "", []
    for line in inspect.getsource(conf.LoyaltySettings).splitlines():
        if comment := re.match(r"    # (.+)", line):
            yield section, names
            section, names = comment[1], []
        elif (found := re.match(r"    def ([a-z]\w+)\(self\)", line)) and _docstring(found[1]):
            names.append(found[1])
    yield section, names


def _describe_setting(name: str) -> str:
    setting, text = re.fullmatch(r"``(\w+)``: (.+)", _docstring(name), re.DOTALL).groups()
    getter = getattr(conf.LoyaltySettings, name).fget
    kind = _KINDS.get(get_type_hints(getter)["return"], "mapping")
    default = getter(_Defaults())
    return f"### `{setting}`\n\n{_sentence(text)}\n\nDefault: `{default!r}` ({kind})."


class _Defaults(conf.LoyaltySettings):
    """What holds in a shop that sets nothing."""

    _get = staticmethod(lambda name, default: default)


def _options_of(command: BaseCommand, name: str) -> Iterator[str]:
    parser = command.create_parser("manage.py", name)
    own = argparse.ArgumentParser()
    command.add_arguments(own)
    names = {action.dest for action in own._actions} - {"help"}
    for action in parser._actions:
        if action.dest in names:
            words = " ".join([*action.option_strings, *([_value_of(action)] if action.nargs != 0 else [])])
            text = parser._get_formatter()._expand_help(action)
            yield f"| `{words}` | {_markdown(text)} |"


def _value_of(action: argparse.Action) -> str:
    return action.metavar or ("{" + ",".join(action.choices) + "}" if action.choices else action.dest.upper())


def _docstring(name: str) -> str:
    return inspect.getdoc(getattr(conf.LoyaltySettings, name).fget) or ""


def _text_of(node: ast.stmt) -> str:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return inspect.cleandoc(node.value.value) if is_text else ""


def _title(title: str, source: str, text: str | None) -> str:
    written = f"<!-- Written by `make reference` from oscar_loyalty/{source}. -->"
    return f"# {title}\n\n{written}\n\n{_markdown(text or '')}"


def _sentence(text: str) -> str:
    text = _markdown(" ".join(text.split()))
    return text[0].upper() + text[1:]


def _markdown(text: str) -> str:
    return text.replace("``", "`")


def _joined(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


if __name__ == "__main__":
    django.setup()
    for path, text in pages().items():
        path.write_text(text)
        print(path.relative_to(ROOT))
