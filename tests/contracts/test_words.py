"""The documentation names what is there, and the project's text is fit to be read by anybody."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
from django.core.management import get_commands
from django.template import engines

from oscar_loyalty.conf import LoyaltySettings
from sandbox.tools.reference import pages

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "oscar_loyalty"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(PACKAGE.glob("*/README.md"))]
SOURCES = ("oscar_loyalty", "sandbox", "tests", "benchmarks", "docs", ".ci")
SUFFIXES = {".py", ".md", ".html", ".txt", ".css", ".js", ".cfg", ".toml", ".ini", ".yaml", ".yml"}
#: Written in pieces, so that this file is not its own finding.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
ONE_MACHINE = re.compile(r"(?<![\w.:/>}])/(home|root|Users|opt|srv|mnt|tmp|work)/\w")


def named(pattern: str, page: Path) -> set[str]:
    return set(re.findall(pattern, page.read_text()))


def test_the_generated_reference_is_what_the_code_says():
    for path, text in pages().items():
        assert path.read_text() == text, f"{path.name} is old: make reference"


def test_the_readme_knows_where_things_are():
    table = (ROOT / "README.md").read_text().split("## Where is…?")[1].split("\n## ")[0]
    tokens = re.findall(r"`([^`]+)`", table)
    assert len(tokens) > 10
    for token in tokens:
        path, _, name = token.partition(": ")
        place = PACKAGE / path if (PACKAGE / path).exists() else ROOT / path
        assert place.exists(), token
        if name:
            tree = ast.walk(ast.parse(place.read_text()))
            assert name in {getattr(node, "name", None) for node in tree}, token


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_only_what_exists(page):
    settings = {
        re.search(r"``(\w+)``", prop.__doc__)[1]
        for prop in vars(LoyaltySettings).values()
        if isinstance(prop, property)
    }
    assert named(r"\bOSCAR_LOYALTY_[A-Z_]+[A-Z]\b", page) <= settings
    assert named(r"manage\.py (loyalty_\w+)", page) <= set(get_commands())
    libraries = engines["django"].engine.template_libraries
    names = {"loyalty", "loyalty_perks", "loyalty_returns"}
    ours = [libraries[name] for name in names]
    known = names | {name for library in ours for name in (*library.tags, *library.filters)}
    assert named(r"(?:\{% |\|)(loyalty_\w+)", page) <= known
    for target in named(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_on_a_page_is_python_and_imports_what_exists(page):
    for block in re.findall(r"```python[^\n]*\n(.*?)```", page.read_text(), re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("oscar_loyalty"):
                module = import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_template_on_a_page_can_be_loaded(page):
    for block in re.findall(r"```html\+django[^\n]*\n(.*?)```", page.read_text(), re.DOTALL):
        assert engines["django"].from_string(block)


def test_nothing_is_left_unfinished_and_nothing_belongs_to_one_machine():
    files = [*ROOT.iterdir(), *(file for folder in SOURCES for file in (ROOT / folder).rglob("*"))]
    files = [file for file in files if file.is_file() and _is_source(file.relative_to(ROOT))]
    assert len(files) > 300
    for file in files:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            assert not UNFINISHED.search(line), f"{file}:{number}: {line}"
            assert not ONE_MACHINE.search(line), f"{file}:{number}: {line}"


def _is_source(path: Path) -> bool:
    is_text = path.suffix in SUFFIXES or path.name in {"LICENSE", "Makefile", "run"}
    return is_text and not {"__pycache__", "var"} & set(path.parts)
