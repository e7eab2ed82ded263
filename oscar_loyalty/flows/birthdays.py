"""Whether birthdays bring anything, and what members read about theirs."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.utils.dates import MONTHS

from oscar_loyalty.earning.models import EarningRule
from oscar_loyalty.members.models import Birthday
from oscar_loyalty.members.queries import BIRTHDAY_KNOWN_DAYS
from oscar_loyalty.programmes.rules import Policy
from oscar_loyalty.tiers.models import PerkGrant, TierPerk

GIFT = "BIRTHDAY_GIFT"
#: Any year with a 29 February: nobody tells the year.
_LEAP_YEAR = 2000


@dataclass(frozen=True, kw_only=True)
class BirthdayOf:
    """
    ``day`` is in a leap year, whichever; ``None`` as long as the member has not told it. ``counts_from``
    is ``None`` when it counts already.
    """

    day: date | None = None
    counts_from: datetime | None = None
    told_at: datetime | None = None
    told_by_ref: str = ""
    notice_days: int = BIRTHDAY_KNOWN_DAYS

    @property
    def is_leap_day(self) -> bool:
        return self.day is not None and (self.day.month, self.day.day) == (2, 29)

    @property
    def days(self) -> range:
        """What a form offers."""
        return range(1, 32)

    @property
    def months(self) -> list[tuple[int, str]]:
        return [(number, str(name)) for number, name in MONTHS.items()]


def read_birthday(*, member_id: int, now: datetime) -> BirthdayOf:
    """One statement."""
    told = Birthday.objects.filter(member_id=member_id).first()
    if told is None:
        return BirthdayOf()
    counts_from = told.set_at + timedelta(days=BIRTHDAY_KNOWN_DAYS)
    return BirthdayOf(
        day=date(_LEAP_YEAR, told.month, told.day),
        counts_from=counts_from if counts_from > now else None,
        told_at=told.set_at,
        told_by_ref=told.set_by_ref,
    )


def has_presents(*, policy: Policy, member_id: int, now: datetime) -> bool:
    """
    Whether a birthday brings anything to members under a policy, or to this one: nobody is asked for it
    otherwise. One statement.
    """
    version = {"version__programme_id": policy.programme_id, "version__number": policy.version}
    rules = EarningRule.objects.filter(**version, occasion=EarningRule.Occasion.BIRTHDAY)
    perks = TierPerk.objects.filter(**version, kind=GIFT)
    grants = PerkGrant.objects.filter(
        programme_id=policy.programme_id, member_id=member_id, kind=GIFT, revoked_at=None, active_to__gt=now
    )
    found = [rows.order_by().values_list("pk") for rows in (rules, perks, grants)]
    return bool(found[0].union(*found[1:])[:1])
