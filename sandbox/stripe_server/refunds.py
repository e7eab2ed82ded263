"""Refunds: what may be paid back, and what may happen to it afterwards."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from . import cards
from .call import Call
from .errors import refuse
from .forms import LIST, choice, merged_metadata, metadata, positive, text
from .money import as_money
from .store import new_id

# How long the bank takes over a refund that does not end at once.
BANK_TAKES = timedelta(hours=1)

CREATE = {
    "payment_intent": text,
    "charge": text,
    "amount": positive,
    "reason": choice("duplicate", "fraudulent", "requested_by_customer"),
    "metadata": metadata,
}
UPDATE = {"metadata": metadata}
LIST_REFUNDS = {**LIST, "payment_intent": text, "charge": text}


def create(call: Call) -> dict[str, Any]:
    given = call.params
    charge = _charge_to_refund(call)
    # What an authorisation let go of is no refund: only what was captured can be paid back.
    rest = charge["amount_captured"] - charge["amount_refunded"]
    amount = given.get("amount", rest)
    if rest == 0:
        raise refuse(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if amount > rest:
        asked, left = (as_money(value, charge["currency"]) for value in (amount, rest))
        raise refuse(
            f"Refund amount ({asked}) is greater than unrefunded amount on charge ({left})", param="amount"
        )
    manner = call.store.setting("next_refund")
    call.store.set_setting("next_refund", None)
    if manner is None:
        method = call.get("payment_method", charge["payment_method"])
        manner = cards.BY_NUMBER[method["_number"]].refund
    refund = _new_refund(call, charge, amount)
    refund.update(
        reason=given.get("reason"),
        metadata=merged_metadata({}, given.get("metadata", {})),
        status="pending" if manner == "pending" else "succeeded",
        pending_reason="processing" if manner == "pending" else None,
    )
    if manner != "succeeded":
        call.store.set_timer(call.now + int(BANK_TAKES.total_seconds()), f"refund_{manner}", refund["id"])
    before = charge["amount_refunded"]
    _count(charge, amount)
    call.store.save(refund)
    call.store.save(charge)
    call.announce("refund.created", refund)
    call.announce("charge.refunded", charge, amount_refunded=before)
    return call.shown(refund)


def retrieve(call: Call, wanted: str) -> dict[str, Any]:
    return call.shown(call.get("refund", wanted))


def list_refunds(call: Call) -> dict[str, Any]:
    given = call.params
    return call.listed("refund", payment_intent=given.get("payment_intent"), charge=given.get("charge"))


def update(call: Call, wanted: str) -> dict[str, Any]:
    refund = call.get("refund", wanted)
    refund["metadata"] = merged_metadata(refund["metadata"], call.params.get("metadata", {}))
    call.store.save(refund)
    call.announce("refund.updated", refund)
    return call.shown(refund)


def cancel(call: Call, wanted: str) -> dict[str, Any]:
    """Only a refund that waits for the customer can be canceled; refunds to cards never wait for one."""
    refund = call.get("refund", wanted)
    if refund["status"] != "requires_action":
        raise refuse(
            f"You cannot cancel this refund because it has a status of {refund['status']}. Only a refund"
            " with the status requires_action may be canceled."
        )
    return call.shown(settle(call, wanted, "canceled"))


def settle(call: Call, wanted: str, status: str) -> dict[str, Any]:
    """Move a refund to ``status``. One that fails or is canceled is no longer counted on its charge."""
    refund = call.get("refund", wanted)
    over = ("failed", "canceled")
    if refund["status"] == status or refund["status"] in over:
        return refund
    before = refund["status"]
    refund.update(status=status, pending_reason="processing" if status == "pending" else None)
    if status in over:
        charge = call.get("charge", refund["charge"])
        _count(charge, -refund["amount"])
        call.store.save(charge)
        refund["failure_balance_transaction"] = new_id("txn")
    if status == "failed":
        refund["failure_reason"] = "expired_or_canceled_card"
    call.store.save(refund)
    call.announce("refund.updated", refund, status=before)
    if status == "failed":
        call.announce("refund.failed", refund, status=before)
    return refund


def _count(charge: dict[str, Any], amount: int) -> None:
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]


def _charge_to_refund(call: Call) -> dict[str, Any]:
    given = call.params
    if intent_id := given.get("payment_intent"):
        intent = call.get("payment_intent", intent_id, param="payment_intent")
        if given.get("charge") not in (None, intent["latest_charge"]):
            raise refuse("The charge does not belong to the PaymentIntent.", param="charge")
        if intent["status"] != "succeeded":
            raise refuse(f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.")
        return call.get("charge", intent["latest_charge"])
    if charge_id := given.get("charge"):
        charge = call.get("charge", charge_id, param="charge")
        if charge["status"] != "succeeded":
            raise refuse(f"Charge {charge_id} is not refundable in its current state.", param="charge")
        if not charge["captured"]:
            raise refuse(
                f"This uncaptured Charge was created by a PaymentIntent ({charge['payment_intent']}). You"
                " must cancel the PaymentIntent to reverse the authorization instead of refunding the"
                " Charge directly."
            )
        return charge
    raise refuse(
        "One of the following params should be provided for this request: payment_intent or charge.",
        code="parameter_missing",
    )


def _new_refund(call: Call, charge: dict[str, Any], amount: int) -> dict[str, Any]:
    return {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": new_id("txn"),
        "charge": charge["id"],
        "created": call.now,
        "currency": charge["currency"],
        "destination_details": {"card": {"reference_status": "pending", "type": "refund"}, "type": "card"},
        "failure_balance_transaction": None,
        "failure_reason": None,
        "metadata": {},
        "next_action": None,
        "payment_intent": charge["payment_intent"],
        "pending_reason": None,
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
