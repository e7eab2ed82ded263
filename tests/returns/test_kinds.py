"""The table of all kinds of returns in the documentation is what really happens."""

import os
from pathlib import Path

import pytest
from django.db import transaction

from .kinds import KINDS, as_markdown, play
from .world import make_tier

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "returns-table.md"
BEGIN, END = "<!-- begin of the table -->", "<!-- end of the table -->"


@pytest.mark.django_db
def test_the_documented_table_is_what_happens(account, programme):
    make_tier(programme, entry=80, keep=60)
    rows = []
    for kind in KINDS:
        with transaction.atomic():
            rows.append(play(kind, programme=programme, account=account))
            transaction.set_rollback(True)
        account.refresh_from_db()
    table = as_markdown(rows)
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _old, after = rest.split(END)
    wanted = f"{before}{BEGIN}\n{table}\n{END}{after}"
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(wanted)
    else:
        assert page == wanted, "WRITE_DOCS=1 writes it anew"
