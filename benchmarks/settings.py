"""The plain host of the tests, with or without the app."""

import os

from tests.hosts.plain.settings import *  # noqa: F403
from tests.hosts.plain.settings import INSTALLED_APPS

CASE = os.environ["BENCHMARK_CASE"]
ROOT_URLCONF = "benchmarks.urls"
if CASE == "without":
    INSTALLED_APPS = [app for app in INSTALLED_APPS if not app.startswith("oscar_loyalty")]
