"""Joining while registering: reads the box that ``{% loyalty_join_fields form %}`` put into the form."""

import logging
from typing import Any

from django.contrib import messages
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from oscar.core.loading import get_class

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import membership
from oscar_loyalty.programmes.queries import ProgrammeMissing, get_version
from oscar_loyalty.transactions import spare_transaction

logger = logging.getLogger(__name__)


@receiver(get_class("customer.signals", "user_registered"), dispatch_uid="loyalty_join_at_registration")
def on_user_registered(request: HttpRequest, user: Any, **_kwargs: Any) -> None:
    """Make the new customer a member if they ticked the box. Never stands in the way of registering."""
    # The box carries the version of the terms beside which it was shown.
    accepted = _read(request, "loyalty_join")
    if not loyalty_settings.enabled or not accepted:
        return
    now = timezone.now()
    try:
        with spare_transaction():
            if accepted != get_version(at=now).terms_version:
                messages.warning(request, _("The terms have just changed. Please read them and join again."))
                return
            membership.join_programme(
                user_id=user.pk,
                now=now,
                marketing=bool(_read(request, "loyalty_marketing")),
                source="REGISTRATION",
            )
    except ProgrammeMissing:
        logger.warning("User %s wanted to join, but there is no programme in force", user.pk)
    except Exception:
        logger.exception("User %s could not join", user.pk)


def _read(request: HttpRequest, field: str) -> str:
    # Oscar's page for logging in and registering prefixes the fields of each of its two forms.
    return request.POST.get(field) or request.POST.get(f"registration-{field}") or ""
