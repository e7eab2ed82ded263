from datetime import date, datetime

from django.db import IntegrityError, transaction

from oscar_loyalty.members import queries
from oscar_loyalty.members.models import Birthday, Consent, Member
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import write_messages


class TermsNotAccepted(ValueError):
    """Nobody becomes a member without having accepted the terms; nothing was written."""


class BirthdayFixed(ValueError):
    """The member has told their birthday before; staff can correct it."""


def join_programme(*, user_id: int, terms_version: str, now: datetime) -> Member:
    """
    Make a customer a member, or a former member a member again; safe to repeat.

    Joining says nothing about marketing: see :func:`record_consent`.

    :raises TermsNotAccepted: ``terms_version`` is empty
    """
    if not terms_version:
        raise TermsNotAccepted
    member = queries.find_member(user_id=user_id)
    if member is None:
        try:
            with transaction.atomic():
                member = Member.objects.create(
                    user_id=user_id, joined_at=now, terms_version=terms_version, terms_accepted_at=now
                )
                _announce(member, now=now)
        except IntegrityError:
            # A second click was faster: theirs is the membership.
            return Member.objects.get(user_id=user_id)
        return member
    if member.status == Member.Status.ACTIVE and member.terms_version == terms_version:
        return member
    with transaction.atomic():
        member = Member.objects.select_for_update().get(pk=member.pk)
        if member.status == Member.Status.LEFT:
            member.status = Member.Status.ACTIVE
            member.left_at = None
            member.joined_at = now
            _announce(member, now=now)
        if member.terms_version != terms_version:
            member.terms_version = terms_version
            member.terms_accepted_at = now
        member.save()
    return member


def leave_programme(*, member_id: int, now: datetime) -> Member:
    """A member takes part no longer; what happens to their points is told by the flow of that name."""
    with transaction.atomic():
        member = Member.objects.select_for_update().get(pk=member_id)
        if member.status == Member.Status.ACTIVE:
            member.status = Member.Status.LEFT
            member.left_at = now
            member.save()
            Birthday.objects.filter(member=member).delete()
    return member


def forget_birthdays() -> int:
    """Delete the birthdays of persons who were deleted; return how many."""
    return Birthday.objects.filter(member__user__isnull=True).delete()[0]


def merge_members(*, source_id: int, target_id: int, now: datetime) -> None:
    """Two members are one person: whoever logs in as the source is the target from now on. Repeatable."""
    with transaction.atomic():
        members = {pk: Member.objects.select_for_update().get(pk=pk) for pk in sorted({source_id, target_id})}
        source, target = members[source_id], members[target_id]
        if source.status == Member.Status.MERGED:
            return
        source.status = Member.Status.MERGED
        source.left_at = now
        source.merged_into = target
        source.save()
        # One step always leads to who remained.
        Member.objects.filter(merged_into=source).update(merged_into=target)


def set_birthday(
    *, member_id: int, month: int, day: int, actor_ref: str, now: datetime, by_staff: bool = False
) -> Birthday:
    """
    Store a member's birthday. The member tells it once: birthdays that can be changed come every month.
    The same day again changes nothing.

    :raises BirthdayFixed: another day is known, and it is not staff who correct it
    :raises ValueError: there is no such day
    """
    date(2000, month, day)  # a leap year
    with transaction.atomic():
        Member.objects.select_for_update().get(pk=member_id)
        known = Birthday.objects.filter(member_id=member_id).first()
        if known is None:
            return Birthday.objects.create(
                member_id=member_id, month=month, day=day, set_at=now, set_by_ref=actor_ref
            )
        if (known.month, known.day) == (month, day):
            return known
        if not by_staff:
            raise BirthdayFixed
        known.month, known.day, known.set_at, known.set_by_ref = month, day, now, actor_ref
        known.save()
        return known


def record_consent(
    *, member_id: int, purpose: str, granted: bool, source: str, now: datetime, confirmed: bool = False
) -> Consent:
    """Log a member's yes or no; the same answer given again adds nothing. ``confirmed`` when the yes was
    given by the link in a mail to their address (double opt-in)."""
    with transaction.atomic():
        Member.objects.select_for_update().get(pk=member_id)
        latest = queries.find_consent(member_id=member_id, purpose=purpose)
        if latest is not None and latest.granted == granted and (latest.confirmed or not confirmed):
            return latest
        return Consent.objects.create(
            member_id=member_id,
            purpose=purpose,
            granted=granted,
            source=source,
            given_at=now,
            confirmed=confirmed,
        )


def _announce(member: Member, *, now: datetime) -> None:
    write_messages(
        [
            OutboxMessage(
                topic="member_joined",
                key=f"member_joined:{member.pk}:{now.isoformat()}",
                payload={"member_id": member.pk},
                created_at=now,
                available_at=now,
            )
        ]
    )
