"""The dashboard is an extra."""

import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings
from oscar.defaults import OSCAR_DASHBOARD_NAVIGATION

SCRIPT = """
import django
django.setup()
from django.core.management import call_command
from django.urls import NoReverseMatch, reverse
from oscar.core.loading import get_class

call_command("check")

class Boss:
    is_staff = is_active = is_superuser = True
    def has_perms(self, permissions):
        return True

labels = [str(node.label) for node in get_class("dashboard.menu", "get_nodes")(Boss())]
assert "Loyalty" not in labels and len(labels) > 5, labels
print(reverse("loyalty:programme"))
try:
    reverse("loyalty-dashboard:loyalty-overview")
except NoReverseMatch:
    print("no dashboard")
"""


def test_a_shop_without_the_app_has_its_pages_and_no_entry_in_the_menu():
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.dashboard.without", "PYTHONPATH": str(root)}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-2:] == ["/loyalty/", "no dashboard"]


def test_importing_the_defaults_changes_no_menu():
    import oscar_loyalty.defaults  # noqa: F401

    assert "Loyalty" not in {str(entry["label"]) for entry in OSCAR_DASHBOARD_NAVIGATION}
    assert "Loyalty" in {str(entry["label"]) for entry in settings.OSCAR_DASHBOARD_NAVIGATION}
