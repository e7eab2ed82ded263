from django.db import models
from oscar.apps.offer.abstract_models import AbstractConditionalOffer


class ConditionalOffer(AbstractConditionalOffer):
    """An offer with a note for the people who answer customers."""

    note_for_support = models.TextField(blank=True)

    class Meta(AbstractConditionalOffer.Meta):
        app_label = "offer"


from oscar.apps.offer.models import *  # noqa: E402, F403
