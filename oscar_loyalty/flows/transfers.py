"""A member gives points to another one, where the programme allows it."""

from datetime import datetime

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows.adjustments import find_four_eyes_limit
from oscar_loyalty.members import queries as members
from oscar_loyalty.points import queries as points
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.points.services import IdempotencyKeyReused, InsufficientPoints
from oscar_loyalty.programmes import queries as programmes


class TransfersOff(ValueError):
    """Members cannot give points to each other, or not at the moment."""


class RecipientUnavailable(ValueError):
    """Nobody takes points at that address. Why not is nobody's business but theirs."""


def transfer_points(
    *, account: Account, recipient_email: str, points_given: int, idempotency_key: str, now: datetime
) -> Entry:
    """
    Give points of a member's ``account`` to the member with an e-mail address, once for each key; return
    the giver's entry.

    :raises ProgrammeMissing: no version of the programme is in force
    :raises TransfersOff: the version in force does not allow it, or spending is paused
    :raises InsufficientPoints: more than is available; said before the recipient is looked for, so that
        asking for too much tells nothing about who is a member
    :raises RecipientUnavailable: nobody with that address takes part, or it is the giver
    :raises AccountNotOpen: the giver's account is frozen
    :raises IdempotencyKeyReused: the key was first used for another transfer
    """
    version = programmes.get_version(at=now)
    if not version.transfers_allowed or version.programme.redemption_paused:
        raise TransfersOff
    if account.status != Account.Status.OPEN:
        raise services.AccountNotOpen
    key = f"transfer:{idempotency_key}"
    earlier = points.find_entry_by_key(account_id=account.pk, idempotency_key=key)
    if earlier is None and points_given > points.get_balance(account=account, now=now).available:
        raise InsufficientPoints
    receiver = _find_receiver(recipient_email)
    if earlier is not None:
        # One answer for strangers and for other members, or old keys would tell one from the other.
        if receiver != points.find_receiver(sent=earlier) or earlier.points != points_given:
            raise IdempotencyKeyReused
        return earlier
    if receiver is None or receiver == account or receiver.status != Account.Status.OPEN:
        raise RecipientUnavailable
    try:
        sent, _received = services.transfer_points(
            from_account_id=account.pk,
            to_account_id=receiver.pk,
            points=points_given,
            idempotency_key=key,
            actor_ref=f"member:{account.member_id}",
            now=now,
        )
    except services.AccountNotOpen as error:
        raise RecipientUnavailable from error
    return sent


def transfer_by_staff(
    *,
    giver: Account,
    receiver: Account,
    points_given: int,
    idempotency_key: str,
    actor_id: int,
    now: datetime,
    note: str = "",
) -> Entry:
    """
    Move points between members because staff say so, whether members may do that or not; return the
    giver's entry. ``note`` says why, in both entries: only staff see it, and it stays for ever.

    :raises NeedsSecondPerson: so many points are no single person's to move: adjust both accounts
    :raises InsufficientPoints, AccountNotOpen, SameAccount, OtherProgramme: see ``points.services``
    :raises IdempotencyKeyReused: the key was first used for another transfer
    """
    limit = find_four_eyes_limit(now=now)
    if limit is not None and points_given > limit:
        raise services.NeedsSecondPerson
    sent, _received = services.transfer_points(
        from_account_id=giver.pk,
        to_account_id=receiver.pk,
        points=points_given,
        idempotency_key=f"transfer:staff:{idempotency_key}",
        actor_ref=f"user:{actor_id}",
        now=now,
        note=note,
    )
    return sent


def _find_receiver(email: str) -> Account | None:
    member = members.find_member_with_email(email=email)
    if member is None:
        return None
    return points.find_account(member_id=member.pk, programme_code=loyalty_settings.programme_code)
