"""Sentences for people, in the language of the request. Programmes read the codes beside them."""

from decimal import Decimal
from typing import Any

from babel.numbers import format_decimal
from django.utils.translation import get_language, gettext, ngettext, to_locale
from django.utils.translation import gettext_lazy as _
from oscar.templatetags.currency_filters import currency as format_money

from oscar_loyalty.flows.wording import add_up, list_parts, name_occasion
from oscar_loyalty.points.models import Adjustment, Entry
from oscar_loyalty.programmes.rules import Rate

#: Why points can, or cannot, be spent on a basket.
REDEMPTION_STATES = {
    "redeemable": _("You can spend points on this basket."),
    "disabled": _("Points cannot be spent in this shop at the moment."),
    "guest": _("Log in to spend points."),
    "not_member": _("Join the programme to earn and spend points."),
    "account_frozen": _("Your points are frozen at the moment. Our customer service knows why."),
    "paused": _("Points cannot be spent at the moment. Yours are safe."),
    "currency_not_supported": _("Points cannot be spent in this currency."),
    "basket_empty": _("Your basket is empty."),
    "insufficient_points": _("You do not have enough points yet."),
    "basket_frozen": _("This basket is being paid for. Finish or abandon the payment first."),
    "basket_too_small": _("This basket is too small to spend points on."),
}

#: What limits a redemption, or made it smaller than what was asked for.
REDEMPTION_REASONS = {
    "balance": _("You do not have more points."),
    "share": _("Points pay only a part of the goods."),
    "goods": _("The goods cost no more than that."),
    "card_minimum": _("What is left must be zero or enough for a card payment."),
    "step": _("Points are spent in fixed steps."),
    "minimum": _("This would be less than the smallest redemption."),
}

#: What a product or a basket earns, or why nothing.
EARNING_STATES = {
    "earning": "",
    "choose_variant": "",
    "below_one_point": _("Too little for a whole point."),
    "excluded": _("Earns no points."),
    "no_price": _("Has no price at the moment."),
    "members_only": _("Is open to members of certain tiers only, or to them first."),
    "unknown_product": _("There is no such product."),
    "paused": _("New orders earn no points at the moment."),
    "currency_not_supported": _("Orders in this currency earn no points."),
    "basket_empty": _("Your basket is empty."),
}


#: Why nothing was claimed.
CLAIM_REFUSALS = {
    "claim_link_invalid": _("This link does not work. Open it from the mail itself, or ask for a new one."),
    "claim_link_expired": _("The time to claim these points is over."),
    "claim_not_proved": _("Claim these points with the link that we send to the address of the order."),
    "order_already_claimed": _("These points were claimed already."),
    "order_cancelled": _("A cancelled order earns no points."),
    "nothing_to_claim": _("This order earns no points."),
    "earning_paused": _("Points are not booked at the moment. Please try again later."),
    "not_member": _("Join the programme first: POST me/membership."),
}


def money(amount: Decimal, currency: str) -> str:
    return str(format_money(amount, currency))


def number(value: int | Decimal) -> str:
    return format_decimal(value, locale=to_locale(get_language() or "en"))


def points_text(points: int) -> str:
    return ngettext("%(points)s point", "%(points)s points", points) % {"points": number(points)}


def preview_text(*, state: str, points: int, value: Decimal, currency: str, is_member: bool) -> str:
    """ "Earn 119 points (worth €1.19)", or why there are none."""
    if state not in ("earning", "choose_variant"):
        return str(EARNING_STATES[state])
    facts = {"points": points_text(points), "value": money(value, currency)}
    if state == "choose_variant":
        return gettext("Earn from %(points)s (worth %(value)s), depending on the variant") % facts
    if is_member:
        return gettext("Earn %(points)s (worth %(value)s)") % facts
    return gettext("Members earn %(points)s (worth %(value)s)") % facts


def earning_sentences(rates: list[Rate], *, version: Any, excluded: list[str]) -> list[str]:
    sentences = [
        gettext("%(points)s for every %(amount)s you pay for goods.")
        % {"points": points_text(rate.earn_points), "amount": money(rate.earn_amount, rate.currency)}
        for rate in rates
        if rate.earn_points
    ]
    if version.includes_tax:
        sentences.append(gettext("Points count on the price with VAT, after every discount."))
    else:
        sentences.append(gettext("Points count on the price without VAT, after every discount."))
    if version.includes_shipping:
        sentences.append(gettext("Shipping earns points too."))
    else:
        sentences.append(gettext("Shipping earns no points, and neither does what you pay with points."))
    if excluded:
        sentences.append(gettext("These earn no points: %(names)s.") % {"names": ", ".join(excluded)})
    return sentences


def redemption_sentences(rates: list[Rate], *, version: Any) -> list[str]:
    sentences = [
        gettext("%(points)s save %(amount)s.")
        % {"points": points_text(rate.redeem_points), "amount": money(rate.redeem_amount, rate.currency)}
        for rate in rates
    ]
    if version.minimum_points > 1:
        sentences.append(
            gettext("You can spend %(points)s or more at a time.")
            % {"points": points_text(version.minimum_points)}
        )
    if version.step_points > 1:
        sentences.append(
            gettext("Points are spent in steps of %(points)s.") % {"points": number(version.step_points)}
        )
    if version.maximum_share_percent < 100:
        sentences.append(
            gettext("Points pay at most %(percent)s %% of the goods.")
            % {"percent": number(version.maximum_share_percent)}
        )
    return sentences


def waiting_sentence(*, version: Any) -> str:
    days = version.waiting_days
    if version.spendable_status:
        facts = {"days": number(days), "status": gettext(version.spendable_status)}
        if days == 0:
            return gettext("Points can be spent once your order is “%(status)s”.") % facts
        return (
            ngettext(
                "Points can be spent %(days)s day after your order is “%(status)s”.",
                "Points can be spent %(days)s days after your order is “%(status)s”.",
                days,
            )
            % facts
        )
    if days == 0:
        return gettext("Points can be spent right after your order.")
    return ngettext(
        "Points can be spent %(days)s day after your order.",
        "Points can be spent %(days)s days after your order.",
        days,
    ) % {"days": number(days)}


def expiry_sentence(*, version: Any) -> str:
    if version.expiry_months is None:
        return gettext("Points do not expire.")
    return ngettext(
        "Points expire %(months)s month after they become spendable, at the end of that day.",
        "Points expire %(months)s months after they become spendable, at the end of that day.",
        version.expiry_months,
    ) % {"months": number(version.expiry_months)}


def entry_text(entry: Entry) -> str:
    """What happened, in a line of a statement. Staff may have written one for the customer."""
    adjustment: Adjustment | None = getattr(entry, "adjustment", None)
    if adjustment is not None:
        language = (get_language() or "en")[:2]
        own = adjustment.customer_text_de if language == "de" else adjustment.customer_text_en
        if own:
            return own
    if (rule := _RULE_TEXTS.get(str(entry.explanation.get("rule")))) and entry.kind == Entry.Kind.EARN:
        return str(rule) % {"order": entry.explanation.get("order") or entry.order_ref}
    template = _ENTRY_TEXTS.get((entry.kind, bool(entry.order_ref))) or _MOVE_TEXTS.get(
        (entry.kind, entry.reason_code)
    )
    occasion = name_occasion(str(entry.explanation.get("rule", "")))
    if entry.kind == Entry.Kind.EARN and occasion:
        return occasion
    if template is None:
        return str(Entry.Kind(entry.kind).label).capitalize()
    return str(template) % {"order": entry.order_ref}


#: What earned points, where that is no purchase.
_RULE_TEXTS = {
    "LATE_DELIVERY": _("Our apology for the late order %(order)s"),
    "OFFER": _("Bonus for order %(order)s"),
}

_ENTRY_TEXTS = {
    ("EARN", True): _("Earned with order %(order)s"),
    ("EARN", False): _("Earned"),
    ("ACTIVATE", True): _("Points of order %(order)s can be spent now"),
    ("ACTIVATE", False): _("Points can be spent now"),
    ("SPEND", True): _("Spent on order %(order)s"),
    ("SPEND_RETURN", True): _("Given back: spent on order %(order)s"),
    ("SPEND_AGAIN", True): _("Spent again on order %(order)s"),
    ("CLAWBACK", True): _("Taken back: earned with order %(order)s"),
    ("CLAWBACK_UNDONE", True): _("Given again: earned with order %(order)s"),
    ("EXPIRE", True): _("Expired: earned with order %(order)s"),
    ("EXPIRE", False): _("Expired"),
    ("REPAY", False): _("Set off against your deficit"),
    ("ADJUST_UP", False): _("Credited by our customer service"),
    ("ADJUST_DOWN", False): _("Deducted by our customer service"),
    # Two accounts were merged after the order; its points come back to the one that remained.
    ("MOVE_IN", True): _("Given back: spent on order %(order)s"),
    ("CONVERT", False): _("Converted to another currency"),
    ("FORFEIT", False): _("Given up on leaving the programme"),
    ("WRITE_OFF", False): _("Deficit waived"),
}

_MOVE_TEXTS = {
    ("MOVE_OUT", "TRANSFER"): _("Given to another member"),
    ("MOVE_IN", "TRANSFER"): _("Received from another member"),
    ("MOVE_IN", "MERGE"): _("From an account that was merged with yours"),
    ("MOVE_OUT", "MERGE"): _("Deficit of an account that was merged with yours"),
}


def entry_reason(entry: Entry) -> str:
    """How many points and why: the rule in one sentence, or an empty text."""
    facts = entry.explanation
    if entry.kind == Entry.Kind.EARN and (parts := list_parts(facts)):
        return add_up(parts)
    if entry.kind == Entry.Kind.EARN and "earn_points" in facts:
        rule = gettext("%(points)s for every %(amount)s, on %(basis)s") % {
            "points": points_text(int(facts["earn_points"])),
            "amount": money(Decimal(facts["earn_amount"]), facts["currency"]),
            "basis": money(Decimal(facts["basis"]), facts["currency"]),
        }
        vat = gettext("with VAT") if facts.get("includes_tax") else gettext("without VAT")
        return f"{rule} ({vat})"
    if entry.kind == Entry.Kind.SPEND and "amount" in facts:
        return gettext("Saved %(amount)s") % {"amount": money(Decimal(facts["amount"]), facts["currency"])}
    if entry.kind == Entry.Kind.CONVERT and "rate" in facts:
        return gettext("%(before)s became %(after)s") % {
            "before": points_text(int(facts["points_before"])),
            "after": points_text(int(facts["points_after"])),
        }
    if entry.kind in (Entry.Kind.SPEND_AGAIN, Entry.Kind.CLAWBACK_UNDONE):
        return gettext("A cancellation or return was withdrawn")
    if entry.reason_code in Adjustment.Reason.values:
        return str(Adjustment.Reason(entry.reason_code).label).capitalize()
    return ""
