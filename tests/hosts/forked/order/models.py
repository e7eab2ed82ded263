from django.db import models
from oscar.apps.order.abstract_models import AbstractOrder


class Order(AbstractOrder):
    """An order that may be picked up in the shop. Oscar makes it; the shop fills this in afterwards."""

    pickup_code = models.CharField(max_length=12, blank=True)

    class Meta(AbstractOrder.Meta):
        app_label = "order"


from oscar.apps.order.models import *  # noqa: E402, F403
