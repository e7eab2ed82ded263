"""
The sandbox's Celery app.

Without CELERY_BROKER_URL the messages are files in ``sandbox/var``, which needs no server; `make run`
works them and the schedule in one small process.
"""

import os

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sandbox.settings")

app = Celery("sandbox")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.import_modules.connect(sender=app)
def schedule_loyalty_tasks(**kwargs: object) -> None:
    """Take over the package's schedule, once Django has loaded the models that its tasks need."""
    from django.apps import apps

    if apps.is_installed("oscar_loyalty"):
        from oscar_loyalty.tasks import beat_schedule

        app.conf.beat_schedule = beat_schedule
