"""Segments of members that rules can ask for. A shop registers its own beside them."""

from datetime import timedelta
from typing import Protocol

from django.utils.translation import gettext_lazy as _

from oscar_loyalty.earning.facts import MemberFacts
from oscar_loyalty.registry import segments

#: Members are new for so many days after joining.
NEW_DAYS = 90
#: Members are active for so many days after an order, and lapsed after that.
ACTIVE_DAYS = 365


class Segment(Protocol):
    """One short class with ``@segments.register``: whether a member belongs, by facts alone."""

    code: str
    label: object

    def holds(self, member: MemberFacts) -> bool: ...


@segments.register
class New:
    code = "NEW"
    label = _("new: joined at most 90 days ago")

    def holds(self, member: MemberFacts) -> bool:
        return member.joined_at is not None and member.at - member.joined_at <= timedelta(days=NEW_DAYS)


@segments.register
class Active:
    code = "ACTIVE"
    label = _("active: ordered within the last 365 days before this order")

    def holds(self, member: MemberFacts) -> bool:
        last = member.last_order_at
        return last is not None and member.at - last <= timedelta(days=ACTIVE_DAYS)


@segments.register
class Lapsed:
    code = "LAPSED"
    label = _("lapsed: has ordered before, but not within the last 365 days")

    def holds(self, member: MemberFacts) -> bool:
        last = member.last_order_at
        return last is not None and member.at - last > timedelta(days=ACTIVE_DAYS)


def find_segments(member: MemberFacts, *, wanted: frozenset[str]) -> frozenset[str]:
    """Those of the segments that a member belongs to; what nobody registered holds for nobody."""
    found = ((code, segments.find(code)) for code in wanted)
    return frozenset(code for code, segment in found if segment is not None and segment.holds(member))
