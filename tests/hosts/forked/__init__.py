"""
A shop that has changed Oscar for years: its own order and offer apps with migrations of its own names,
its own user model, and one transaction a request.
"""

from tests.hosts.celery import app as celery_app

__all__ = ["celery_app"]
