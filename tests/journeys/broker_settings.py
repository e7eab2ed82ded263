"""The sandbox with a queue of its own, so that nobody else's worker at the same broker takes its tasks."""

import os

from sandbox.settings import *  # noqa: F403

CELERY_TASK_DEFAULT_QUEUE = os.environ["JOURNEYS_QUEUE"]
