"""What pages, mails and the API say about returns, in the reader's words."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.flows import tier_wording
from oscar_loyalty.flows.return_terms import ReturnableLine, ReturnableOrder
from oscar_loyalty.flows.returns import Preview, PreviewLine, Standing
from oscar_loyalty.flows.wording import count_points, money, number
from oscar_loyalty.returns.models import FAULTS, Reason, Return
from oscar_loyalty.tiers.queries import name_of

#: Why nothing was changed, by the codes of ``ReturnRefused`` and ``PhotoRefused``.
REFUSALS: dict[str, str | Promise] = {
    "nothing_chosen": _("Choose at least one piece."),
    "unknown_line": _("This is not part of the order."),
    "too_many": _("So many pieces are not left to return."),
    "all_returned": _("All of it has been returned already."),
    "not_delivered": _("This has not arrived yet."),
    "too_late": _("The time to return this is over."),
    "excluded": _("This can only be returned when it is faulty, damaged or wrong."),
    "order_cancelled": _("The order was cancelled."),
    "store_credit_not_offered": _("Points instead of money are not offered for this order."),
    "unknown_reason": _("Choose one of the reasons."),
    "key_reused": _("This key was used for another return. Make a new one for each."),
    "refund_under_way": _("The refund is on its way already."),
    "wrong_state": _("The return has moved on: this is not possible any more."),
    "photo_not_an_image": _("This is not a picture that we can read. Send a JPEG, PNG or WebP."),
    "photo_too_big": _("The picture is too big."),
    "photo_too_many": _("There are enough pictures of this already."),
    "photo_too_late": _("The goods have been checked already."),
}


def refusal_text(code: str) -> str:
    return str(REFUSALS.get(code) or gettext("This return is not possible."))


# What may come back


def reasons() -> list[dict[str, object]]:
    """What a customer may choose from; those of the shop's making make the return free."""
    return [{"code": one.value, "text": str(one.label), "is_free": one in FAULTS} for one in Reason]


def deadline_sentence(order: ReturnableOrder) -> str:
    """Until when an order can be returned, or could."""
    if order.delivered_at is None:
        return ngettext(
            "You can return goods as soon as they have arrived, and %(days)s day after that.",
            "You can return goods as soon as they have arrived, and for %(days)s days after that.",
            order.window_days,
        ) % {"days": number(order.window_days)}
    if order.return_until is None:
        return ""
    day = tier_wording.last_day_text(order.return_until, time_zone=order.time_zone)
    if any(not line.only_faults and line.left for line in order.lines):
        return gettext("You can return until %(day)s.") % {"day": day}
    if any(line.why_none == "too_late" or (line.left and line.only_faults) for line in order.lines):
        return gettext("Without a fault, this order could be returned until %(day)s.") % {"day": day}
    return ""


def cost_sentence(order: ReturnableOrder) -> str:
    return _cost(order.fee, currency=order.currency, free_because=order.free_because)


def line_sentence(line: ReturnableLine) -> str:
    """How many pieces of a line may come back, or why none."""
    if not line.left:
        return refusal_text(line.why_none)
    if line.only_faults:
        return refusal_text("excluded")
    return ngettext("%(left)s piece can be returned.", "%(left)s pieces can be returned.", line.left) % {
        "left": number(line.left)
    }


# What it brings


@dataclass(frozen=True, kw_only=True)
class Said:
    """A preview in sentences. Those that say nothing are empty."""

    lines: list[str]
    money: str
    cost: str
    points: list[str]
    tier: list[str]
    next: list[str]


def say_preview(preview: Preview, *, refund_days: int) -> Said:
    return Said(
        lines=[piece_sentence(line, currency=preview.currency) for line in preview.lines],
        money=money_sentence(preview),
        cost=_cost(preview.fee, currency=preview.currency, free_because=preview.free_because),
        points=points_sentences(preview),
        tier=tier_sentences(preview.before, preview.after),
        next=next_sentences(preview, refund_days=refund_days),
    )


def piece_sentence(line: PreviewLine, *, currency: str) -> str:
    """ "2 × Espresso: €39.80 and 150 points"."""
    values = {
        "quantity": number(line.quantity),
        "title": line.title,
        "money": money(line.amount, currency),
        "points": count_points(line.points_back),
    }
    if line.points_back:
        return gettext("%(quantity)s × %(title)s: %(money)s and %(points)s") % values
    return gettext("%(quantity)s × %(title)s: %(money)s") % values


def money_sentence(preview: Preview) -> str:
    """How much goes back, and to which payment."""
    values = {
        "money": money(preview.refund, preview.currency),
        "way": preview.pays_to,
        "points": count_points(preview.credit_points),
    }
    if not preview.refund:
        return gettext("No money goes back.")
    if preview.credit_points:
        return gettext("You get %(points)s instead of %(money)s.") % values
    if preview.pays_to:
        return gettext("We refund %(money)s to: %(way)s.") % values
    return gettext("We refund %(money)s the way you paid.") % values


def points_sentences(preview: Preview) -> list[str]:
    """What comes back, what is taken back, what happens where it is spent, and the balance."""
    said = []
    if preview.points_back:
        said.append(
            ngettext(
                "%(points)s point that you had spent comes back.",
                "%(points)s points that you had spent come back.",
                preview.points_back,
            )
            % {"points": number(preview.points_back)}
        )
    if preview.points_taken:
        said.append(
            ngettext(
                "%(points)s point that these goods had earned is taken back.",
                "%(points)s points that these goods had earned are taken back.",
                preview.points_taken,
            )
            % {"points": number(preview.points_taken)}
        )
    said += _missing_sentences(preview)
    # A guest has no balance, nor is that of whoever has claimed the order theirs to read.
    if said and (preview.before, preview.after) != (Standing(), Standing()):
        said.append(balance_sentence(preview.before, preview.after))
    return said


def _missing_sentences(preview: Preview) -> list[str]:
    said = []
    if preview.points_waived:
        said.append(
            ngettext(
                "%(points)s of them is spent already; we do not ask for it.",
                "%(points)s of them are spent already; we do not ask for them.",
                preview.points_waived,
            )
            % {"points": number(preview.points_waived)}
        )
    if preview.set_off:
        said.append(
            gettext("Part of them is spent already; %(money)s is kept from the refund for it, as agreed.")
            % {"money": money(preview.set_off, preview.currency)}
        )
    if preview.points_missing:
        said.append(
            ngettext(
                "%(points)s of them is spent already: it is set off against your next points.",
                "%(points)s of them are spent already: they are set off against your next points.",
                preview.points_missing,
            )
            % {"points": number(preview.points_missing)}
        )
    return said


def balance_sentence(before: Standing, after: Standing) -> str:
    values = {"before": count_points(before.available), "after": count_points(after.available)}
    if before.pending == after.pending:
        return gettext("Spendable: %(before)s now, %(after)s afterwards.") % values
    values["pending_before"] = number(before.pending)
    values["pending_after"] = number(after.pending)
    return (
        gettext(
            "Spendable: %(before)s now, %(after)s afterwards. "
            "Pending: %(pending_before)s now, %(pending_after)s afterwards."
        )
        % values
    )


def tier_sentences(before: Standing, after: Standing) -> list[str]:
    """What becomes of the tier, and of the way to the next one; nothing in a programme without tiers."""
    if after.progress is None:
        return []
    had = before.progress.tier if before.progress else None
    has = after.progress.tier
    said = []
    if has is not None and had is not None and had.code == has.code:
        said.append(gettext("You keep %(tier)s.") % {"tier": name_of(has)})
        loses_sooner = before.progress is not None and after.progress.lost_at != before.progress.lost_at
        if loses_sooner and (loss := tier_wording.loss_sentence(after.progress)):
            said.append(loss)
    elif has is not None:
        said.append(gettext("You drop to %(tier)s.") % {"tier": name_of(has)})
    elif had is not None:
        said.append(gettext("You lose %(tier)s.") % {"tier": name_of(had)})
    if after.progress.next_tier is not None:
        said.append(
            gettext("Afterwards: %(progress)s.")
            % {"progress": tier_wording.counted_sentence(after.progress).rstrip(".")}
        )
    return said


def next_sentences(preview: Preview, *, refund_days: int) -> list[str]:
    """What is to be done until when, and when the money comes."""
    if preview.keeps_goods:
        return [gettext("You need not send anything back. We refund at once.")]
    said = []
    if preview.send_until is not None:
        day = tier_wording.last_day_text(preview.send_until, time_zone=preview.time_zone)
        said.append(gettext("Send the goods by %(day)s.") % {"day": day})
    if preview.is_instant:
        said.append(gettext("We refund as soon as the carrier has your parcel, as a benefit of your tier."))
    else:
        said.append(promise_sentence(refund_days))
    return said


def promise_sentence(refund_days: int) -> str:
    return ngettext(
        "We refund within %(days)s working day after the goods have arrived.",
        "We refund within %(days)s working days after the goods have arrived.",
        refund_days,
    ) % {"days": number(refund_days)}


def _cost(fee: Decimal, *, currency: str, free_because: str) -> str:
    free = {
        Return.FreeBecause.POLICY: gettext("Returning is free."),
        Return.FreeBecause.FAULT: gettext("Returning is free, because something was wrong with the goods."),
        Return.FreeBecause.PERK: gettext("Returning is free for you: a benefit of your tier."),
        Return.FreeBecause.KEEP: gettext("Returning is free: nothing has to be sent back."),
    }
    if free_because:
        return free[Return.FreeBecause(free_because)]
    return gettext("Returning costs %(money)s, taken off the refund.") % {"money": money(fee, currency)}


# What became of it


def state_text(of_return: Return) -> str:
    return str(of_return.get_state_display())


def day_text(moment: datetime | None, *, time_zone: str) -> str:
    return tier_wording.day_text(moment, time_zone=time_zone) if moment else ""
