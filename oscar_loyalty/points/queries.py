import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, F, FilteredRelation, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from oscar_loyalty.members.models import Member
from oscar_loyalty.points.book import final_account_id
from oscar_loyalty.points.hashing import digest
from oscar_loyalty.points.models import (
    Account,
    Adjustment,
    EarnedLine,
    Entry,
    ExpiryWarning,
    Hold,
    Lot,
    MemberMerge,
    Posting,
)

#: What a member cares to read: reservations come and go with every basket.
_INTERNAL = (Entry.Kind.HOLD, Entry.Kind.RELEASE)
#: A member's open account or, when there is none, the one they had last.
_NEWEST = (F("open_key").desc(nulls_last=True), "-id")


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Whole points of one account at a moment."""

    account_id: int
    available: int
    pending: int
    held: int
    debt: int
    #: What has become spendable or expired since the last booking was counted in.
    earned: int
    spent: int
    expired: int


@dataclass(frozen=True, kw_only=True)
class NextExpiry:
    points: int
    expires_at: datetime


def find_account(*, member_id: int, programme_code: str) -> Account | None:
    """A member's open account in a programme: one statement."""
    return Account.objects.filter(
        member_id=member_id, programme__code=programme_code, open_key__isnull=False
    ).first()


def with_counters(members: QuerySet[Member], *, programme_code: str) -> QuerySet[Member]:
    """Members with ``account_available``, ``account_pending`` and ``account_debt`` of their open account
    (``None`` where there is none) and ``account_status`` of that or of the one they had last, without a
    statement more."""
    accounts = Account.objects.filter(member=OuterRef("pk"), programme__code=programme_code)
    account = accounts.filter(open_key__isnull=False)
    status = accounts.order_by(*_NEWEST).values("status")[:1]
    counters = {name: Subquery(account.values(name)[:1]) for name in ("available", "pending", "debt")}
    return members.annotate(
        **{f"account_{name}": counter for name, counter in counters.items()}, account_status=Subquery(status)
    )


def find_latest_account(*, member_id: int, programme_code: str) -> Account | None:
    """A member's open account in a programme or, when there is none, the one they had last."""
    return _newest(Account.objects.filter(member_id=member_id, programme__code=programme_code))


def find_latest_account_of(*, public_id: uuid.UUID, programme_code: str) -> Account | None:
    """Like :func:`find_latest_account`, by the public id of the member."""
    return _newest(Account.objects.filter(member__public_id=public_id, programme__code=programme_code))


def _newest(accounts: QuerySet[Account]) -> Account | None:
    return (
        accounts.select_related("member__user", "programme", "merged_into__member__user")
        .order_by(*_NEWEST)
        .first()
    )


def find_account_of_user(*, user_id: int | None, programme_code: str) -> Account | None:
    """The open account of a customer who takes part, with its member: one statement."""
    if user_id is None:
        return None
    return _open_accounts(user_id=user_id, programme_code=programme_code).first()


def find_account_with_hold(
    *, user_id: int, programme_code: str, ref: str
) -> tuple[Account, Hold | None] | None:
    """
    The open account of a customer who takes part, with its member, and its newest reservation for
    ``ref`` in any state: one statement.
    """
    columns = [field.attname for field in Hold._meta.concrete_fields]
    account = (
        _open_accounts(user_id=user_id, programme_code=programme_code)
        .annotate(hold=FilteredRelation("holds", condition=Q(holds__ref=ref)))
        .annotate(**{f"hold_{name}": F(f"hold__{name}") for name in columns})
        .order_by("-hold__id")
        .first()
    )
    if account is None:
        return None
    row = {name: account.__dict__.pop(f"hold_{name}") for name in columns}
    if row["id"] is None:
        return account, None
    hold = Hold.from_db(str(account._state.db), columns, list(row.values()))
    hold.account = account
    return account, hold


def _open_accounts(*, user_id: int, programme_code: str) -> QuerySet[Account]:
    # Who was merged into another member is that one: still one statement.
    member = (
        Member.objects.filter(user_id=user_id)
        .annotate(final_id=Coalesce("merged_into_id", "id"))
        .values("final_id")[:1]
    )
    return Account.objects.select_related("member").filter(
        member_id=Subquery(member),
        member__status="ACTIVE",
        programme__code=programme_code,
        open_key__isnull=False,
    )


def get_balance(*, account: Account, now: datetime) -> Balance:
    """
    Counters of the account; when a job is late, with what is due counted in, so that nobody is shown
    points that can no longer (or can already) be spent. Reads only.
    """
    available, pending, expired, debt = account.available, account.pending, account.expired, account.debt
    if account.due_at <= now:
        due = Lot.objects.filter(account=account, open=True).aggregate(
            activating=Sum("pending", filter=Q(active_at__lte=now)),
            expiring=Sum("remaining", filter=Q(expires_at__lte=now)),
        )
        activating = due["activating"] or 0
        expiring = max((due["expiring"] or 0) - account.held, 0)
        repaid = min(debt, activating)
        pending -= activating
        debt -= repaid
        expired += expiring
        available += activating - repaid - expiring
    return Balance(
        account_id=account.pk,
        available=available,
        pending=pending,
        held=account.held,
        debt=debt,
        earned=account.earned,
        spent=account.spent,
        expired=expired,
    )


def list_entries(*, account_id: int) -> QuerySet[Entry]:
    """What a member sees of the ledger, newest first."""
    return Entry.objects.filter(account_id=account_id).exclude(kind__in=_INTERNAL).order_by("-seq")


def list_open_lots(*, account_id: int) -> QuerySet[Lot]:
    """Lots with points left or pending, earliest expiry first."""
    return Lot.objects.filter(account_id=account_id, open=True).order_by("expires_at", "id")


def find_next_expiry(*, account_id: int, now: datetime) -> NextExpiry | None:
    """The next moment at which points expire and how many, pending ones aside."""
    lots = Lot.objects.filter(account_id=account_id, open=True, remaining__gt=0, expires_at__gt=now)
    at = lots.aggregate(at=Min("expires_at"))["at"]
    if at is None or at.year >= 9000:
        return None
    points = lots.filter(expires_at=at).aggregate(points=Sum("remaining"))["points"]
    return NextExpiry(points=points, expires_at=at)


def find_entry_of_order(*, programme_id: int, order_ref: str, kind: str) -> Entry | None:
    """
    The newest entry of a kind that an order caused, on whatever account: its member may have been merged
    into another one since, or have left and come back.
    """
    return (
        Entry.objects.filter(account__programme_id=programme_id, order_ref=order_ref, kind=kind)
        .order_by("-id")
        .first()
    )


def list_earnings_of_order(*, programme_id: int, order_ref: str) -> list[Entry]:
    """Everything that an order earned, on whatever account, oldest first: what was booked when it was
    placed comes before what was added when it was confirmed."""
    return list(
        Entry.objects.filter(
            account__programme_id=programme_id, order_ref=order_ref, kind=Entry.Kind.EARN
        ).order_by("id")
    )


def find_accounts_of_users(*, user_ids: Collection[int], programme_code: str) -> dict[int, Account]:
    """Open accounts of customers who take part, by customer, with their members: two statements."""
    finals = dict(
        Member.objects.filter(user_id__in=user_ids)
        .annotate(final_id=Coalesce("merged_into_id", "id"))
        .values_list("user_id", "final_id")
    )
    accounts = Account.objects.select_related("member").filter(
        member_id__in=set(finals.values()),
        member__status="ACTIVE",
        programme__code=programme_code,
        open_key__isnull=False,
    )
    by_member = {account.member_id: account for account in accounts}
    return {user_id: by_member[member_id] for user_id, member_id in finals.items() if member_id in by_member}


def list_earned_orders(*, programme_code: str, order_refs: Collection[str]) -> set[str]:
    """Those of the orders that earned something already, whoever has the points today: one statement."""
    entries = Entry.objects.filter(
        account__programme__code=programme_code, order_ref__in=order_refs, kind=Entry.Kind.EARN
    )
    return set(entries.values_list("order_ref", flat=True))


def list_entries_of_order(*, programme_id: int, order_ref: str) -> QuerySet[Entry]:
    """What an order did to the points of its customer, newest first."""
    return (
        Entry.objects.filter(account__programme_id=programme_id, order_ref=order_ref)
        .exclude(kind__in=_INTERNAL)
        .order_by("-id")
    )


def find_receiver(*, sent: Entry) -> Account | None:
    """To whom an entry of a transfer went: the account that has the points' place today."""
    receiver = Account.objects.filter(public_id=sent.explanation.get("other_account")).first()
    return receiver and Account.objects.get(pk=final_account_id(receiver.pk))


def list_other_ends(*, entry: Entry) -> QuerySet[Entry]:
    """The entries on other accounts that one act booked with ``entry``: of a transfer or a merge."""
    if entry.kind not in (Entry.Kind.MOVE_OUT, Entry.Kind.MOVE_IN):
        return Entry.objects.none()
    lots = Lot.objects.filter(postings__entry=entry)
    # There is no index by act; these are the accounts that points can have come from or gone to.
    accounts = Account.objects.filter(
        Q(pk__in=lots.filter(parent_lot__isnull=False).values("parent_lot__account_id"))
        | Q(pk__in=Lot.objects.filter(parent_lot__in=lots).values("account_id"))
        | Q(merged_into=entry.account_id)
        | Q(pk=entry.account.merged_into_id)
    ).exclude(pk=entry.account_id)
    entries = Entry.objects.filter(account__in=list(accounts.values_list("pk", flat=True)))
    return entries.filter(group_id=entry.group_id).select_related("account__member__user").order_by("pk")


def find_entry_by_key(*, account_id: int, idempotency_key: str) -> Entry | None:
    """What was booked on an account under a key."""
    return Entry.objects.filter(account_id=account_id, key_digest=digest(idempotency_key)).first()


def find_entry_of_user(*, user_id: int | None, idempotency_key: str) -> Entry | None:
    """The same on any account that a customer has or had, also those of members who are one with theirs."""
    if user_id is None:
        return None
    finals = Member.objects.filter(user_id=user_id).values(final_id=Coalesce("merged_into_id", "id"))
    accounts = Account.objects.filter(Q(member__in=finals) | Q(member__merged_into__in=finals))
    return Entry.objects.filter(account__in=accounts, key_digest=digest(idempotency_key)).first()


def find_latest_hold(*, ref: str) -> Hold | None:
    """The newest reservation of a basket in any state."""
    return Hold.objects.select_related("account__member").filter(ref=ref).order_by("-id").first()


def list_waiting_adjustments() -> QuerySet[Adjustment]:
    """Corrections that somebody asked for and nobody has decided on, oldest first."""
    return Adjustment.objects.filter(state=Adjustment.State.REQUESTED).order_by("id")


def list_waiting_merges() -> QuerySet[MemberMerge]:
    """Merges that somebody asked for and nobody has decided on, oldest first."""
    return MemberMerge.objects.filter(state=MemberMerge.State.REQUESTED).order_by("id")


def list_due_accounts(*, now: datetime) -> QuerySet[Account]:
    """Accounts in which something becomes spendable or expires by ``now``, longest overdue first."""
    return Account.objects.filter(due_at__lte=now).order_by("due_at", "id")


def list_account_ids_with_points_in(
    *, programme_id: int, currency: str, after_id: int = 0
) -> QuerySet[Account, int]:
    """Accounts with points whose value is frozen in a currency, by id."""
    lots = Lot.objects.filter(account=OuterRef("pk"), open=True, currency=currency)
    accounts = Account.objects.filter(programme_id=programme_id, pk__gt=after_id)
    return accounts.filter(Exists(lots)).order_by("pk").values_list("pk", flat=True)


def sum_points_in(*, account_id: int, currency: str) -> int:
    """Points of an account whose value is frozen in a currency, pending ones too."""
    lots = Lot.objects.filter(account_id=account_id, open=True, currency=currency)
    return lots.aggregate(points=Sum(F("pending") + F("remaining")))["points"] or 0


def list_open_account_ids(*, member_id: int) -> list[int]:
    """Accounts of a member that are not closed or merged, in any programme, in the order of locking."""
    accounts = Account.objects.filter(member_id=member_id, open_key__isnull=False)
    return list(accounts.order_by("pk").values_list("pk", flat=True))


def list_account_ids_given_up() -> list[int]:
    """Merged accounts whose trail ends at one that was closed since. Merges are few, and so is this."""
    given_up: list[int] = []
    found = list(
        Account.objects.filter(merged_into__status=Account.Status.CLOSED).values_list("pk", flat=True)
    )
    while found:
        given_up += found
        found = list(Account.objects.filter(merged_into__in=found).values_list("pk", flat=True))
    return given_up


def get_seq(*, account_id: int) -> int:
    """How many entries an account has."""
    return Account.objects.values_list("seq", flat=True).get(pk=account_id)


def list_open_holds() -> QuerySet[Hold]:
    return Hold.objects.filter(state=Hold.State.OPEN).order_by("id")


def list_expired_holds(*, now: datetime, after: tuple[datetime, int] | None = None) -> QuerySet[Hold]:
    """Open reservations whose time is over, longest over first; those ``after`` one of them."""
    holds = Hold.objects.filter(state=Hold.State.OPEN, expires_at__lte=now).order_by("expires_at", "id")
    if after is None:
        return holds
    expires_at, pk = after
    return holds.filter(Q(expires_at=expires_at, pk__gt=pk) | Q(expires_at__gt=expires_at))


def list_accounts_to_warn(
    *, expiring_before: datetime, now: datetime, after_id: int = 0
) -> QuerySet[Account]:
    """Accounts that lose points by a moment and were not warned of that loss yet, in order of age; those
    younger than ``after_id``."""
    unwarned = _list_lots_to_warn_of(expiring_before=expiring_before, now=now)
    return (
        Account.objects.filter(open_key__isnull=False, member__status="ACTIVE", pk__gt=after_id)
        .filter(Exists(unwarned.filter(account=OuterRef("pk"))))
        .select_related("member", "programme")
        .order_by("id")
    )


def sum_points_to_warn_of(*, account_id: int, expiring_before: datetime, now: datetime) -> NextExpiry | None:
    """What an account loses by a moment without having been warned, and when the first of it goes."""
    lots = _list_lots_to_warn_of(expiring_before=expiring_before, now=now).filter(account_id=account_id)
    found = lots.aggregate(points=Sum("remaining"), at=Min("expires_at"))
    return NextExpiry(points=found["points"], expires_at=found["at"]) if found["points"] else None


def _list_lots_to_warn_of(*, expiring_before: datetime, now: datetime) -> QuerySet[Lot]:
    warned = ExpiryWarning.objects.filter(
        account=OuterRef("account"), expires_before__gte=OuterRef("expires_at")
    )
    return Lot.objects.filter(
        open=True, remaining__gt=0, expires_at__gt=now, expires_at__lte=expiring_before
    ).filter(~Exists(warned))


def list_lines_of_earnings(*, entries: Collection[Entry]) -> QuerySet[EarnedLine]:
    """What earnings recorded for each line of their order and each rule."""
    return EarnedLine.objects.filter(entry__in=entries).order_by("id")


def sum_left_of_spend(*, spent: Entry) -> int:
    """Points of a redemption that were not given back, or were given back and spent again."""
    return _sum_left([spent], undone_by=Entry.Kind.SPEND_RETURN, done_again_by=Entry.Kind.SPEND_AGAIN)


def sum_left_of_earnings(*, earnings: Collection[Entry]) -> int:
    """Points that were earned and not taken back, or were taken back and given again."""
    return _sum_left(earnings, undone_by=Entry.Kind.CLAWBACK, done_again_by=Entry.Kind.CLAWBACK_UNDONE)


def _sum_left(entries: Collection[Entry], *, undone_by: str, done_again_by: str) -> int:
    undone = Entry.objects.filter(kind=undone_by, reverses__in=entries)
    again = Entry.objects.filter(kind=done_again_by, reverses__reverses__in=entries)
    sums = [rows.aggregate(total=Sum("points"))["total"] or 0 for rows in (undone, again)]
    return sum(entry.points for entry in entries) - sums[0] + sums[1]


def sum_debt_made(*, entries: Collection[Entry]) -> dict[int, int]:
    """What of these entries could not be collected and became a deficit, by account."""
    rows = Posting.objects.filter(entry__in=entries, debit=Posting.Code.DEBT, credit=Posting.Code.EXPENSE)
    sums = rows.values("entry__account_id").annotate(total=Sum("points")).order_by()
    return {row["entry__account_id"]: row["total"] for row in sums}


def list_undone(entries: QuerySet[Entry]) -> QuerySet[Entry]:
    """Of what took points back, or gave them back: what has been undone itself."""
    again = (Entry.Kind.CLAWBACK_UNDONE, Entry.Kind.SPEND_AGAIN)
    return entries.filter(Exists(Entry.objects.filter(reverses=OuterRef("pk"), kind__in=again)))


def list_entries_by_key(*, prefix: str, order_ref: str) -> QuerySet[Entry]:
    """Entries about an order whose keys begin with ``prefix``, oldest first."""
    mine = Entry.objects.filter(order_ref=order_ref, idempotency_key__startswith=prefix)
    return mine.order_by("id")
