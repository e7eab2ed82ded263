import uuid

from django.db.models import QuerySet

from oscar_loyalty.returns.models import Withdrawal


def find_withdrawal(*, public_id: uuid.UUID) -> Withdrawal | None:
    return Withdrawal.objects.filter(public_id=public_id).first()


def list_waiting_withdrawals() -> QuerySet[Withdrawal]:
    """Declarations that staff have to assign or close, oldest first. ``finding`` says why they wait."""
    return Withdrawal.objects.filter(state=Withdrawal.State.RECEIVED).order_by("received_at", "id")
