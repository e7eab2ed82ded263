"""What is here to test with: a browser, a broker, and whether all of it is demanded."""

from __future__ import annotations

import os
import shutil
import socket
from urllib.parse import urlsplit

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOCAL_REDIS = "redis://127.0.0.1:6379/15"
USUAL_PORTS = {"postgres": 5432, "postgresql": 5432, "mysql": 3306, "redis": 6379, "amqp": 5672}


def find_chromium() -> str | None:
    """Chromium's program: the one that CHROMIUM names, or the first on the path."""
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named)
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def find_broker() -> str | None:
    """The address of a broker that answers: CELERY_BROKER_URL, or else a Redis on this machine."""
    url = os.environ.get("CELERY_BROKER_URL") or LOCAL_REDIS
    return url if answers(url) else None


def answers(url: str) -> bool:
    """Whether a server takes a connection at the address in ``url``."""
    parts = urlsplit(url)
    try:
        port = parts.port or USUAL_PORTS[parts.scheme]
        socket.create_connection((parts.hostname or "", port), timeout=3).close()
    except (OSError, KeyError, ValueError):
        return False
    return True


def all_lanes_demanded() -> bool:
    """Whether a lane that cannot run is a failure: in CI, and where LOYALTY_REQUIRE_LANES=1 says so."""
    return os.environ.get("CI") == "true" or os.environ.get("LOYALTY_REQUIRE_LANES") == "1"
