"""A shop changes its currency: all points are exchanged at a stored rate."""

import logging
from dataclasses import dataclass
from datetime import datetime

from oscar_loyalty.points import queries as points
from oscar_loyalty.points import services
from oscar_loyalty.points.services import HoldsOpen
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.models import ConversionRate

logger = logging.getLogger(__name__)


class NoConversionRate(LookupError):
    """No rate between the two currencies is in force."""


class NoUnitValue(LookupError):
    """The version in force does not say what a point is worth in the new currency."""


@dataclass(frozen=True, kw_only=True)
class Converted:
    """``points_before`` became ``points_after`` on so many ``accounts``. Those that ``wait`` have points
    reserved for a basket; those that ``failed`` are in the log. Both are taken up by the next run."""

    rate: ConversionRate
    accounts: int = 0
    points_before: int = 0
    points_after: int = 0
    waiting: int = 0
    failed: int = 0


def convert_programme(
    *, from_currency: str, to_currency: str, now: datetime, dry_run: bool = False, batch_size: int = 500
) -> Converted:
    """
    Exchange the points of all members, one transaction each, in batches. What is done has no points in
    the old currency any more, so a run that was stopped is simply started again; one member's error
    stops nobody else. ``dry_run`` only adds up; what each account's rounding cuts off is left out there.

    :raises ProgrammeMissing: no version of the programme is in force
    :raises NoConversionRate: there is no rate
    :raises NoUnitValue: the version in force has no rate for the new currency
    """
    policy = programmes.get_policy(currency=to_currency, at=now)
    rate = programmes.find_conversion_rate(
        programme_id=policy.programme_id, from_currency=from_currency, to_currency=to_currency, at=now
    )
    if rate is None:
        raise NoConversionRate
    if policy.rate is None:
        raise NoUnitValue
    counts = dict.fromkeys(("accounts", "points_before", "points_after", "waiting", "failed"), 0)
    last_id = 0
    while batch := list(
        points.list_account_ids_with_points_in(
            programme_id=policy.programme_id, currency=from_currency, after_id=last_id
        )[:batch_size]
    ):
        last_id = batch[-1]
        for account_id in batch:
            if dry_run:
                before = points.sum_points_in(account_id=account_id, currency=from_currency)
                after = int(before * rate.rate)
            else:
                try:
                    entry = services.convert_points(
                        account_id=account_id,
                        from_currency=from_currency,
                        to_currency=to_currency,
                        rate=rate.rate,
                        unit_value=policy.rate.unit_value,
                        # Whatever came in after an earlier run is another exchange.
                        idempotency_key=f"convert:{rate.pk}:{points.get_seq(account_id=account_id)}",
                        actor_ref="system",
                        now=now,
                    )
                except HoldsOpen:
                    counts["waiting"] += 1
                    continue
                except Exception:
                    logger.exception("The points of account %s could not be converted", account_id)
                    counts["failed"] += 1
                    continue
                if entry is None:
                    continue
                before, after = entry.points, entry.explanation["points_after"]
            counts["accounts"] += 1
            counts["points_before"] += before
            counts["points_after"] += after
    return Converted(rate=rate, **counts)
