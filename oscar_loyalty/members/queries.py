import unicodedata
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth import get_user_model
from django.db.models import OuterRef, Subquery

from oscar_loyalty.members.models import Birthday, Consent, Member


def find_member(*, user_id: int | None) -> Member | None:
    """The membership of a customer, whether active or left; none for guests. Who was merged into
    another member is that one."""
    if user_id is None:
        return None
    member = Member.objects.select_related("merged_into").filter(user_id=user_id).first()
    return member and (member.merged_into or member)


def find_active_member(*, user_id: int | None) -> Member | None:
    """The membership of a customer who takes part today."""
    member = find_member(user_id=user_id)
    return member if member is not None and member.status == Member.Status.ACTIVE else None


def find_member_with_email(*, email: str) -> Member | None:
    """
    The one active member who can be reached at an address; ``None`` when there is none, or when several
    share it. Addresses are compared without case, and character by character: no look-alikes.
    """
    field = f"user__{get_user_model().get_email_field_name()}"
    rows = Member.objects.select_related("user", "merged_into").filter(
        **{f"{field}__iexact": email, "user__is_active": True}
    )
    found = {
        member.merged_into or member
        for member in rows
        if _fold(getattr(member.user, get_user_model().get_email_field_name())) == _fold(email)
    }
    active = [member for member in found if member.status == Member.Status.ACTIVE]
    return active[0] if len(active) == 1 else None


def find_member_by_public_id(*, public_id: uuid.UUID) -> Member | None:
    """A member who takes part, by the name that other systems know them by; merged ones are who remained."""
    member = Member.objects.select_related("merged_into").filter(public_id=public_id).first()
    member = member and (member.merged_into or member)
    return member if member is not None and member.status == Member.Status.ACTIVE else None


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a member has told: the newest answer to one question of consent, and the birthday."""

    granted: bool
    answered_at: datetime | None
    birthday: tuple[int, int] | None


def get_told(*, member_id: int, purpose: str) -> Told:
    """One statement."""
    latest = Consent.objects.filter(member_id=OuterRef("pk"), purpose=purpose).order_by("-id")
    row = (
        Member.objects.filter(pk=member_id)
        .annotate(granted=Subquery(latest.values("granted")[:1]))
        .annotate(answered_at=Subquery(latest.values("given_at")[:1]))
        .values_list("granted", "answered_at", "birthday__month", "birthday__day")
        .get()
    )
    granted, answered_at, month, day = row
    return Told(
        granted=bool(granted),
        answered_at=answered_at,
        birthday=None if month is None else (month, day),
    )


#: A birthday counts when it has been known for so many days: nobody's is tomorrow.
BIRTHDAY_KNOWN_DAYS = 30


def find_birthday(*, member_id: int, now: datetime) -> tuple[int, int] | None:
    """Month and day, if the member told them early enough to count. One statement."""
    known_by = now - timedelta(days=BIRTHDAY_KNOWN_DAYS)
    told = Birthday.objects.filter(member_id=member_id, set_at__lte=known_by)
    return told.values_list("month", "day").first()


def find_consent(*, member_id: int, purpose: str) -> Consent | None:
    """The newest answer of a member to one question, if they were ever asked."""
    return Consent.objects.filter(member_id=member_id, purpose=purpose).order_by("-id").first()


def has_consent(*, member_id: int, purpose: str) -> bool:
    latest = find_consent(member_id=member_id, purpose=purpose)
    return latest is not None and latest.granted


def _fold(email: str) -> str:
    return unicodedata.normalize("NFKC", email).casefold()
