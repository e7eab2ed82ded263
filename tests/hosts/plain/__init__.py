"""A django-oscar shop as its manual makes it, with nothing of its own but the points."""

from tests.hosts.celery import app as celery_app

__all__ = ["celery_app"]
