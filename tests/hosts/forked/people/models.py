from django.db import models
from oscar.apps.customer.abstract_models import AbstractUser


class Person(AbstractUser):
    """Signs in by e-mail, as Oscar's abstract user does, and may be a company."""

    company = models.CharField(max_length=100, blank=True)
