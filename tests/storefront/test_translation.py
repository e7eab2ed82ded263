"""Everything that people read is there in German, and compiled."""

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copytree, which

import pytest
from babel.messages import mofile, pofile
from django.utils import translation

import oscar_loyalty

PACKAGE = Path(oscar_loyalty.__file__).parent
MESSAGES = Path("locale/de/LC_MESSAGES/django.po")


def read(path):
    with path.open("rb") as file:
        catalogue = pofile.read_po(file, locale="de") if path.suffix == ".po" else mofile.read_mo(file)
    return {(_context(message), _first(message.id)): message for message in catalogue if message.id}


def _context(message):
    # Babel leaves the contexts of compiled catalogues undecoded.
    return message.context.decode() if isinstance(message.context, bytes) else message.context


def _first(text):
    return text[0] if isinstance(text, list | tuple) else text


def _texts(message):
    return message.string if isinstance(message.string, list | tuple) else (message.string,)


@pytest.fixture(scope="module")
def german():
    return read(PACKAGE / MESSAGES)


def test_every_text_is_translated(german):
    assert len(german) > 250
    assert not [key for key, message in german.items() if not all(_texts(message)) or message.fuzzy]


def test_placeholders_are_the_same_in_both_languages(german):
    def names(text):
        return sorted(set(re.findall(r"%\(\w+\)s|\{\w+\}", text)))

    for message in german.values():
        source = message.id if isinstance(message.id, list | tuple) else (message.id,)
        for text in _texts(message):
            assert set(names(text)) <= {name for part in source for name in names(part)}, text
        assert names(_texts(message)[-1]) == names(source[-1]), message.id


def test_the_compiled_catalogue_is_current(german):
    compiled = read((PACKAGE / MESSAGES).with_suffix(".mo"))
    assert {key: tuple(_texts(m)) for key, m in compiled.items()} == {
        key: tuple(_texts(m)) for key, m in german.items()
    }


@pytest.mark.skipif(which("xgettext") is None, reason="gettext is not installed")
def test_no_text_is_missing_from_the_catalogue(german, tmp_path):
    copy = tmp_path / "oscar_loyalty"
    copytree(PACKAGE, copy, ignore=lambda _folder, names: {n for n in names if n == "__pycache__"})
    subprocess.run(
        ["django-admin", "makemessages", "--locale", "de", "--no-wrap", "--no-obsolete"],
        cwd=copy,
        check=True,
        capture_output=True,
        env=_environment(),
    )
    assert set(read(copy / MESSAGES)) == set(german)


def _environment():
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "DJANGO_SETTINGS_MODULE": ""}


def test_germans_are_addressed_formally(german):
    for message in german.values():
        for text in _texts(message):
            assert not {"du", "dein", "deine", "dir", "dich", "euch"} & set(
                text.lower().replace(",", "").split()
            )


def test_django_finds_it(db):
    with translation.override("de"):
        assert translation.gettext("My points") == "Meine Punkte"
        assert translation.ngettext("%(shown)s point", "%(shown)s points", 2) == "%(shown)s Punkte"
