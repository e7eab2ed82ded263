"""
A return is requested → its label is made and mailed → tried again while the provider gives none.

The provider is asked outside of every transaction: it may be slow, and what it has made cannot be undone.
While there is no label the return stays open, and its customer knows the address all the same.
"""

import logging
from datetime import datetime, timedelta

from django.db import transaction

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import write_messages
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.returns import codes, label_services
from oscar_loyalty.returns.labels import Label, LabelRequest, LabelUnavailable, get_provider
from oscar_loyalty.returns.models import Return, ReturnLabel, ReturnPolicy
from oscar_loyalty.returns.services import lock_return, move_return, note_event
from oscar_loyalty.returns.states import VOID, State
from oscar_loyalty.shop.mail import Attachment, MailNotSent, send_to_address, send_to_customer
from oscar_loyalty.shop.order_owners import find_sender

logger = logging.getLogger(__name__)

#: Of the outbox: the label, or the address where there is none yet, is to be mailed.
LABEL_TOPIC = "return_label"
NO_LABEL_TOPIC = "return_no_label"
#: What the history of a return says, once, when its label could not be made.
FAILED_CODE = "LABEL_FAILED"
_SYSTEM = "system"


def make_label(return_id: int, now: datetime) -> ReturnLabel | None:
    """
    Ask the provider for the label of a return, and have it mailed; ``None`` where none is made now: the
    goods stay with the customer, there is one, somebody else is asking, or the provider gives none yet.
    Safe to repeat.
    """
    with transaction.atomic():
        of_return = lock_return(return_id=return_id)
        if of_return.state != State.REQUESTED or of_return.send_until is None:
            return None
        label = label_services.claim_try(of_return=of_return, now=now)
    if label is None:
        return None
    try:
        made = get_provider().make_label(_describe(of_return, now=now))
    except Exception as error:
        # A carrier's own mistakes as well: a return is worth more than its label.
        if not isinstance(error, LabelUnavailable):
            logger.exception("The label of return %s could not be made", of_return.number)
        _note_failure(return_id, error=str(error) or type(error).__name__, now=now)
        return None
    return _store(return_id, made=made, now=now)


def retry_labels(now: datetime, limit: int = 100) -> int:
    """
    Ask again for labels that could not be made, and for those that nobody asked for; return how many were
    made. Safe to run twice and in parallel. One that fails stops no other.
    """
    made = 0
    for return_id in label_services.list_returns_without_label(now=now, limit=limit):
        try:
            made += make_label(return_id, now) is not None
        except Exception:
            logger.exception("The label of return id %s could not be looked after", return_id)
    return made


def void_unneeded_label(return_id: int) -> bool:
    """
    Nobody needs the label of a return that came to nothing, nor one still to be made when the parcel is on
    its way without it. Return whether that was news.
    """
    of_return = Return.objects.filter(pk=return_id).select_related("label").first()
    if of_return is None or not hasattr(of_return, "label"):
        return False
    is_late = of_return.label.state == ReturnLabel.State.WAITING and of_return.state != State.REQUESTED
    return (of_return.state in VOID or is_late) and label_services.void_label(return_id=return_id)


def mail_label(*, public_id: str) -> None:
    """Mail the label to whoever sends the goods back. What the mail server raises is passed on."""
    of_return = Return.objects.select_related("label").get(public_id=public_id)
    label = of_return.label
    if label.state != ReturnLabel.State.READY or label.pdf is None:
        return
    name = f"{of_return.number}.pdf"
    attachments: list[Attachment] = [(name, bytes(label.pdf), "application/pdf")]
    has_qr = bool(label.qr_text) and codes.can_draw()
    if has_qr:
        attachments.append((f"{of_return.number}.png", codes.draw_qr_png(label.qr_text), "image/png"))
    _mail(
        of_return,
        code="LOYALTY_RETURN_LABEL",
        context={"valid_until": label.valid_until, "tracking_code": label.tracking_code, "has_qr": has_qr},
        attachments=attachments,
    )


def mail_address(*, public_id: str) -> None:
    """Mail where the goods go while there is no label. What the mail server raises is passed on."""
    of_return = Return.objects.get(public_id=public_id)
    if of_return.state == State.REQUESTED:
        _mail(of_return, code="LOYALTY_RETURN_NO_LABEL", context={}, attachments=[])


def _describe(of_return: Return, *, now: datetime) -> LabelRequest:
    days = (of_return.policy or ReturnPolicy()).label_days
    return LabelRequest(
        reference=str(of_return.public_id),
        number=of_return.number,
        order_number=of_return.order_ref,
        sender=find_sender(order_id=of_return.order_id),
        recipient=loyalty_settings.return_address,
        language=of_return.language,
        valid_until=of_return.send_until or now + timedelta(days=days),
        time_zone=programmes.find_time_zone(),
    )


def _store(return_id: int, *, made: Label, now: datetime) -> ReturnLabel:
    with transaction.atomic():
        of_return = lock_return(return_id=return_id)
        label = ReturnLabel.objects.get(of_return=of_return)
        label_services.store_label(label=label, made=made, provider=_provider_name(), now=now)
        if of_return.state != State.REQUESTED:
            # Cancelled, or brought along without a label, while the provider was busy.
            label_services.void_label(return_id=return_id)
            label.refresh_from_db()
            return label
        move_return(
            of_return=of_return,
            state=State.LABEL_SENT,
            now=now,
            actor_ref=_SYSTEM,
            tracking_code=label.tracking_code,
        )
        _announce(LABEL_TOPIC, of_return, now=now)
    return label


def _note_failure(return_id: int, *, error: str, now: datetime) -> None:
    with transaction.atomic():
        of_return = lock_return(return_id=return_id)
        label = ReturnLabel.objects.get(of_return=of_return)
        label_services.note_failure(label=label, error=error)
        if label.attempts == 1 and of_return.state == State.REQUESTED:
            note_event(of_return=of_return, code=FAILED_CODE, now=now, actor_ref=_SYSTEM)
            if loyalty_settings.return_address:
                _announce(NO_LABEL_TOPIC, of_return, now=now)
    logger.warning("No label for return %s yet, try %s: %s", of_return.number, label.attempts, error)


def _announce(topic: str, of_return: Return, *, now: datetime) -> None:
    message = OutboxMessage(
        topic=topic,
        key=f"{topic}:{of_return.pk}",
        payload={"return": str(of_return.public_id)},
        created_at=now,
        available_at=now,
    )
    write_messages([message])


def _mail(of_return: Return, *, code: str, context: dict[str, object], attachments: list[Attachment]) -> None:
    context = {
        "number": of_return.number,
        "order_number": of_return.order_ref,
        "address": loyalty_settings.return_address,
        "send_until": of_return.send_until,
        "time_zone": programmes.find_time_zone(),
        **context,
    }
    try:
        if of_return.user_id is not None:
            send_to_customer(
                user_id=of_return.user_id,
                code=code,
                context=context,
                links={},
                attachments=attachments,
                language=of_return.language,
            )
        else:
            send_to_address(
                address=of_return.email,
                language=of_return.language,
                code=code,
                context=context,
                attachments=attachments,
            )
    except MailNotSent as error:
        logger.warning("Return %s: %s", of_return.number, error)


def _provider_name() -> str:
    return loyalty_settings.label_provider.rpartition(".")[2]
