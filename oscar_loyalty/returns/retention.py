"""What is known of people beside the booking itself, and is not kept for ever."""

from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from oscar_loyalty.returns.models import Return, ReturnLabel, ReturnLine, Withdrawal


def has_ended(before: datetime, *, path: str = "") -> Q:
    """Returns that ended before a moment, or what belongs to them by a ``path``."""
    return Q(**{f"{path}settled_at__lt": before}) | Q(**{f"{path}closed_at__lt": before})


def forget_details(*, before: datetime, limit: int = 500) -> int:
    """
    Forget what customers wrote to up to ``limit`` returns that ended before that moment, the address of
    guests and the label with that of the sender; return how many returns. What was booked stays.
    """
    comments = ReturnLine.objects.filter(of_return=OuterRef("pk")).exclude(comment="")
    labels = ReturnLabel.objects.filter(of_return=OuterRef("pk"), pdf__isnull=False)
    known = ~Q(email="") | Exists(comments) | Exists(labels)
    old = list(
        Return.objects.filter(has_ended(before))
        .filter(known)
        .order_by("pk")
        .values_list("pk", flat=True)[:limit]
    )
    with transaction.atomic():
        # Once more under their locks: one that somebody opens again at this moment is not over.
        locked = Return.objects.select_for_update().filter(has_ended(before), pk__in=old).order_by("pk")
        ids = list(locked.values_list("pk", flat=True))
        ReturnLine.objects.filter(of_return__in=ids).update(comment="")
        ReturnLabel.objects.filter(of_return__in=ids).update(
            pdf=None, qr_text="", state=ReturnLabel.State.VOID
        )
        Return.objects.filter(pk__in=ids).update(email="")
    return len(ids)


def delete_old_withdrawals(*, before: datetime, limit: int = 500) -> int:
    """
    Delete up to ``limit`` declarations that became a return, or were dealt with otherwise, before that
    moment; return how many. One that still waits is kept.
    """
    done = Withdrawal.objects.filter(closed_at__lt=before).exclude(state=Withdrawal.State.RECEIVED)
    old = list(done.order_by("pk").values_list("pk", flat=True)[:limit])
    return Withdrawal.objects.filter(pk__in=old).delete()[0]
