"""What staff are told of rules."""

import logging

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from oscar_loyalty.earning.models import RuleBudget
from oscar_loyalty.shop.mail import send_to_staff

logger = logging.getLogger(__name__)


def tell_of_pause(*, budget_id: int) -> None:
    """
    Mail staff that a rule has used up its budget. The list of paused rules shows it as well
    (``earning.queries.list_paused_rules``). What the mail server raises is passed on.
    """
    budget = RuleBudget.objects.select_related("programme").filter(pk=budget_id).first()
    if budget is None:
        return
    with translation.override(settings.LANGUAGE_CODE):
        facts = {"code": budget.rule_code, "points": budget.granted, "programme": budget.programme.name}
        told = send_to_staff(
            subject=_("Earning rule %(code)s is paused") % facts,
            body=_(
                "The earning rule %(code)s of %(programme)s has given %(points)s points, which is all of its "
                "budget. It gives nothing more. To let it go on, give it a larger budget in a new version of "
                "the programme, and resume it."
            )
            % facts,
        )
    if not told:
        logger.warning("Earning rule %s is paused, and nobody is there to be told", budget.rule_code)
