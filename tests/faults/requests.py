"""What the clients of a fault test ask for: each request has a key, and may be made again."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from oscar_loyalty.members.models import Member
from oscar_loyalty.points import services
from oscar_loyalty.points.hashing import digest
from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.points.rules import LineEarning
from oscar_loyalty.programmes.models import Programme

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
START = 1_000_000  # points on each account, so that no request is refused for want of them
KINDS = ("award", "redeem", "claw back", "transfer")


@dataclass(frozen=True)
class Request:
    """Everything follows from the key, as if the shop had stored it."""

    key: str
    accounts: tuple[int, ...]

    @property
    def kind(self) -> str:
        return self._random.choice(KINDS)

    @property
    def points(self) -> int:
        return 1 + int(digest(self.key), 16) % 50

    @property
    def _random(self) -> random.Random:
        return random.Random(self.key)

    @property
    def _chosen(self) -> list[int]:
        return self._random.sample(self.accounts, 2)

    def make(self) -> str:
        """Do it, and return the public id of the entry that records it."""
        account, other = self._chosen
        if self.kind == "award":
            return str(award(account, self.points, key=self.key).public_id)
        if self.kind == "redeem":
            return str(redeem(account, self.points, key=self.key).public_id)
        if self.kind == "claw back":
            start = Entry.objects.get(account=account, key_digest=digest("start"))
            entry = services.clawback_points(
                account_id=account, earned=start, idempotency_key=self.key, now=NOW, points=self.points
            )
            assert entry is not None
            return str(entry.public_id)
        out, _in = services.transfer_points(
            from_account_id=account,
            to_account_id=other,
            points=self.points,
            idempotency_key=self.key,
            actor_ref="system",
            now=NOW,
        )
        return str(out.public_id)


def award(
    account_id: int, points: int, *, key: str, now: datetime = NOW, active_at: datetime | None = None
) -> Entry:
    return services.award_points(
        account_id=account_id,
        points=points,
        idempotency_key=key,
        source_ref=f"order:{key}",
        active_at=active_at or now,
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        now=now,
        order_ref=key,
        lines=[LineEarning(ref="line:1", basis=Decimal(points), points=points)],
    )


def redeem(account_id: int, points: int, *, key: str, now: datetime = NOW) -> Entry:
    """Reserve and spend, as a checkout does; a shopper who comes back finds the order placed."""
    capture = {
        "ref": f"basket:{key}",
        "points": points,
        "amount": Decimal(points) / 100,
        "order_ref": key,
        "now": now,
    }
    try:
        return services.capture_hold(**capture)
    except services.HoldNotOpen:
        services.hold_points(
            account_id=account_id,
            ref=f"basket:{key}",
            requested=points,
            currency="EUR",
            expires_at=now + timedelta(minutes=30),
            now=now,
        )
        return services.capture_hold(**capture)


def make_accounts(count: int) -> list[Account]:
    programme, _ = Programme.objects.get_or_create(
        code="default", defaults={"name": "Points", "time_zone": "Europe/Berlin"}
    )
    accounts = []
    for _number in range(count):
        member = Member.objects.create(joined_at=NOW, terms_version="1", terms_accepted_at=NOW)
        account = services.open_account(member_id=member.pk, programme_id=programme.pk)
        award(account.pk, START, key="start")
        accounts.append(account)
    return accounts
