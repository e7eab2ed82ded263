"""The Celery app of the hosts. Its broker is this process's memory: nothing runs unless a test runs it."""

from celery import Celery

app = Celery("hosts")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
