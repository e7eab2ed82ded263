"""The plain host whose owner kept the menu and left the app out."""

from tests.hosts.plain.settings import *  # noqa: F403
from tests.hosts.plain.settings import INSTALLED_APPS

INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "oscar_loyalty.dashboard"]
