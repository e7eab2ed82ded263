"""What a version of the programme promises, said in sentences to whoever is about to publish it."""

from collections.abc import Iterable
from decimal import Decimal

from django.utils.translation import gettext, ngettext

from oscar_loyalty.flows.wording import count_points, money, number
from oscar_loyalty.points.rules import LineBasis, points_for_lines, value_of
from oscar_loyalty.programmes.models import CurrencyRate, ProgrammeVersion
from oscar_loyalty.programmes.rules import Rate

#: The purchase in the example, in units of the currency; its cents show what rounding does.
EXAMPLE = Decimal("119.40")


def describe_version(
    version: ProgrammeVersion, *, rates: Iterable[CurrencyRate], excluded: Iterable[str] = ()
) -> list[str]:
    """Sentences on earning, one for each currency, then on waiting, expiry, redeeming and exclusions."""
    rates = list(rates)
    if not rates:
        return [gettext("Nobody earns or spends points: there is no rate for any currency.")]
    sentences = [_describe_earning(version, _facts_of(rate)) for rate in rates]
    sentences.append(f"{_describe_waiting(version)} {_describe_expiry(version)}")
    sentences += [_describe_redeeming(version, _facts_of(rate)) for rate in rates]
    if names := ", ".join(excluded):
        sentences.append(gettext("Nothing is earned on: %(names)s.") % {"names": names})
    return sentences


def _facts_of(row: CurrencyRate) -> Rate:
    return Rate(
        currency=row.currency,
        earn_points=row.earn_points,
        earn_amount=row.earn_amount,
        redeem_points=row.redeem_points,
        redeem_amount=row.redeem_amount,
        card_minimum=row.card_minimum,
    )


def _describe_earning(version: ProgrammeVersion, rate: Rate) -> str:
    amount = EXAMPLE.quantize(rate.cent)
    if not rate.earn_points:
        return gettext("Purchases in %(currency)s earn nothing.") % {"currency": rate.currency}
    points = points_for_lines([LineBasis(ref="example", amount=amount)], rate=rate).points
    goods = gettext("goods and shipping") if version.includes_shipping else gettext("goods")
    tax = gettext("VAT included") if version.includes_tax else gettext("before VAT")
    return gettext(
        "A customer who pays %(amount)s for %(goods)s (%(tax)s) earns %(points)s, worth %(value)s."
    ) % {
        "amount": money(amount, rate.currency),
        "goods": goods,
        "tax": tax,
        "points": count_points(points),
        "value": money(value_of(points, rate=rate), rate.currency),
    }


def _describe_waiting(version: ProgrammeVersion) -> str:
    days, status = version.waiting_days, version.spendable_status
    name = gettext(status) if status else ""
    if not status and not days:
        return gettext("Points become spendable at once.")
    if not status:
        return ngettext(
            "Points become spendable %(days)s day after the order was placed.",
            "Points become spendable %(days)s days after the order was placed.",
            days,
        ) % {"days": days}
    if not days:
        return gettext("Points become spendable as soon as the order is “%(status)s”.") % {"status": name}
    return ngettext(
        "Points become spendable %(days)s day after the order has become “%(status)s”.",
        "Points become spendable %(days)s days after the order has become “%(status)s”.",
        days,
    ) % {"days": days, "status": name}


def _describe_expiry(version: ProgrammeVersion) -> str:
    months = version.expiry_months
    if months is None:
        return gettext("They never expire.")
    return ngettext(
        "They expire %(months)s month after that, at the end of the day.",
        "They expire %(months)s months after that, at the end of the day.",
        months,
    ) % {"months": months}


def _describe_redeeming(version: ProgrammeVersion, rate: Rate) -> str:
    sentence = gettext("%(points)s save %(value)s, up to %(share)s %% of the goods") % {
        "points": count_points(rate.redeem_points),
        "value": money(rate.redeem_amount, rate.currency),
        "share": number(version.maximum_share_percent.normalize()),
    }
    if version.minimum_points > 1:
        sentence += gettext(", from %(points)s") % {"points": count_points(version.minimum_points)}
    if version.step_points > 1:
        sentence += gettext(", in steps of %(points)s") % {"points": count_points(version.step_points)}
    if rate.card_minimum:
        sentence += gettext(", leaving nothing or at least %(money)s to pay") % {
            "money": money(rate.card_minimum, rate.currency)
        }
    return f"{sentence}."
