"""
The ledger as a patient person would keep it on paper: the second opinion of ``test_ledger_machine``.

Written from the rules in words (``docs/explanation/ledger.md``), not from the code: nothing of the app is
imported, no database is known, and every sum is taken anew from lots and reservations. A movement either
happens whole or raises :class:`Refused` with the name of the error that the app must raise.
"""

import calendar
import copy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

NEVER = datetime(9000, 1, 1, tzinfo=UTC)


def in_proportion(points: int, weights: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Whole shares that sum to ``points``; the largest fractions are rounded up, the earlier on a tie."""
    whole = sum(weights.values())
    shares = {place: points * weight // whole for place, weight in weights.items()}
    by_fraction = sorted(weights, key=lambda place: -(points * weights[place] % whole))
    for place in by_fraction[: points - sum(shares.values())]:
        shares[place] += 1
    return shares


class Refused(Exception):
    """The movement is not allowed; ``str()`` is the name of the app's error."""


@dataclass(eq=False)
class PaperLot:
    """Points of one credit. ``left`` are spendable or reserved; the rest says where points went."""

    number: int
    source: str
    amount: int
    active_at: datetime
    expires_at: datetime
    unit_value: Decimal
    currency: str
    months: int | None = None
    parent: "PaperLot | None" = None
    pending: int = 0
    left: int = 0
    spent: int = 0
    expired: int = 0
    reversed: int = 0
    moved: int = 0
    activated: bool = False

    def turn(self) -> tuple[datetime, int]:
        """Whose turn it is to be spent: the first to expire, the older one on a tie."""
        return self.expires_at, self.number

    def descends_from(self, other: "PaperLot") -> bool:
        lot: PaperLot | None = self
        while lot is not None and lot is not other:
            lot = lot.parent
        return lot is other


@dataclass(eq=False)
class PaperHold:
    number: int
    ref: str
    wanted: int
    points: int
    until: datetime
    state: str = "OPEN"


@dataclass(eq=False)
class Earning:
    """One credit from an order; ``recorded`` by line and rule, and under ``""`` what is of no line."""

    key: str
    account: str
    lot: PaperLot
    recorded: dict[tuple[str, str], int]

    @property
    def points(self) -> int:
        return sum(self.recorded.values())


@dataclass(eq=False)
class Clawback:
    """What was taken of which line, out of which lot (pending or not), and what was not there."""

    earning: str
    account: str
    by_line: dict[tuple[str, str], int]
    pieces: list[tuple[PaperLot, int, bool]] = field(default_factory=list)
    owed: int = 0
    undone: bool = False


@dataclass(eq=False)
class Redemption:
    """What one order has of which lot now, and what it has of none: a return that was undone may find
    too few points. ``points`` is what it took at first."""

    key: str
    account: str
    shares: dict[PaperLot, int]
    points: int
    owed: int = 0

    def left(self) -> int:
        return sum(self.shares.values()) + self.owed


@dataclass(eq=False)
class Part:
    """What of a return came back to lots of one account."""

    points: int = 0
    lots: list[PaperLot] = field(default_factory=list)


@dataclass(eq=False)
class Return:
    """What came back of a redemption, for the accounts that had spent it in turn."""

    order: str
    parts: list[Part]
    undone: bool = False


@dataclass(eq=False)
class PaperAccount:
    name: str
    status: str = "OPEN"
    merged_into: "PaperAccount | None" = None
    lots: list[PaperLot] = field(default_factory=list)
    holds: list[PaperHold] = field(default_factory=list)
    debt: int = 0
    earned: int = 0
    moved_in: int = 0

    @property
    def pending(self) -> int:
        return sum(lot.pending for lot in self.lots)

    @property
    def held(self) -> int:
        return sum(hold.points for hold in self.holds if hold.state == "OPEN")

    @property
    def available(self) -> int:
        return sum(lot.left for lot in self.lots) - self.held

    def counters(self) -> dict[str, int]:
        return {
            "pending": self.pending,
            "available": self.available,
            "held": self.held,
            "debt": self.debt,
            "earned": self.earned,
            "moved_in": self.moved_in,
            "spent": sum(lot.spent for lot in self.lots),
            "expired": sum(lot.expired for lot in self.lots),
            # A deficit is part of what was taken back, though no lot gave it.
            "reversed": sum(lot.reversed for lot in self.lots) + self.debt,
            "moved": sum(lot.moved for lot in self.lots),
        }


class Paper:
    """All accounts of one programme."""

    def __init__(self, *, time_zone: str) -> None:
        self.zone = ZoneInfo(time_zone)
        self.accounts: dict[str, PaperAccount] = {}
        self.earnings: dict[str, Earning] = {}
        self.redemptions: dict[str, Redemption] = {}
        self.clawbacks: dict[str, Clawback] = {}
        self.returns: dict[str, Return] = {}
        self._lots = self._holds = 0

    def attempt(self, movement: str, **facts: object) -> str | None:
        """Do a movement wholly or not at all; return the name of the error that it is refused with."""
        before = copy.deepcopy(self.__dict__)
        try:
            getattr(self, movement)(**facts)
        except Refused as refused:
            self.__dict__ = before
            return str(refused)
        return None

    # Calendar

    def end_of_day(self, day: date) -> datetime:
        following = day + timedelta(days=1)
        return datetime(following.year, following.month, following.day, tzinfo=self.zone).astimezone(UTC)

    def expiry(self, active_at: datetime, months: int | None) -> datetime:
        if months is None or active_at == NEVER:
            return NEVER
        start = active_at.astimezone(self.zone).date()
        year, month = start.year, start.month
        for _ in range(months):
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return self.end_of_day(date(year, month, min(start.day, calendar.monthrange(year, month)[1])))

    # What all movements share

    def account(self, name: str) -> PaperAccount:
        return self.accounts[name]

    def final(self, name: str) -> PaperAccount:
        """Where an account's points are today: merged ones send on."""
        account = self.accounts[name]
        while account.merged_into is not None:
            account = account.merged_into
        return account

    def trail(self, name: str) -> list[str]:
        """An account and those that it was merged into, one after the other."""
        account = self.accounts[name]
        rest = self.trail(account.merged_into.name) if account.merged_into is not None else []
        return [name, *rest]

    def new_lot(self, account: PaperAccount, **values: object) -> PaperLot:
        self._lots += 1
        lot = PaperLot(number=self._lots, **values)  # type: ignore[arg-type]
        account.lots.append(lot)
        return lot

    def child(
        self, account: PaperAccount, lot: PaperLot, *, pending: int = 0, left: int = 0, **other: object
    ) -> PaperLot:
        """A lot that goes on where ``lot`` ends, with points that came from elsewhere."""
        values: dict[str, object] = {
            "source": lot.source,
            "active_at": lot.active_at,
            "expires_at": lot.expires_at,
            "unit_value": lot.unit_value,
            "currency": lot.currency,
            "months": lot.months,
        }
        account.moved_in += pending + left
        return self.new_lot(
            account, amount=pending + left, pending=pending, left=left, parent=lot, **(values | other)
        )

    def last_hold(self, ref: str) -> tuple[PaperAccount, PaperHold] | None:
        """The newest reservation of a basket and whose it is."""
        holds = [(here, hold) for here in self.accounts.values() for hold in here.holds if hold.ref == ref]
        return max(holds, key=lambda pair: pair[1].number, default=None)

    def settle(self, account: PaperAccount, now: datetime) -> None:
        """Activate, then expire, what is due; a reservation keeps what expires first."""
        for lot in sorted(account.lots, key=lambda lot: (lot.active_at, lot.number)):
            if lot.pending and lot.active_at <= now:
                lot.left, lot.pending, lot.activated = lot.left + lot.pending, 0, True
                self.repay(account, first=[lot])
        kept = account.held
        for lot in sorted(account.lots, key=PaperLot.turn):
            if lot.expires_at <= now and lot.left:
                over = max(lot.left - kept, 0)
                kept -= lot.left - over
                lot.left -= over
                lot.expired += over

    def take(
        self, account: PaperAccount, points: int, to: str, first: list[PaperLot] | None = None
    ) -> dict[PaperLot, int]:
        """Take ``points`` out of what lots have left, into their column ``to``."""
        first = first or []
        taken: dict[PaperLot, int] = {}
        for lot in [*first, *sorted((lot for lot in account.lots if lot not in first), key=PaperLot.turn)]:
            share = min(points, lot.left)
            if share:
                lot.left -= share
                setattr(lot, to, getattr(lot, to) + share)
                points -= share
                taken[lot] = share
        assert not points, "paper holds fewer points than it says"
        return taken

    def repay(self, account: PaperAccount, first: list[PaperLot] | None = None) -> None:
        """What is available pays a deficit before anything else."""
        points = max(min(account.debt, account.available), 0)
        self.take(account, points, "reversed", first)
        account.debt -= points

    def opened(self, name: str, now: datetime) -> PaperAccount:
        account = self.account(name)
        self.settle(account, now)
        return account

    @staticmethod
    def require_open(account: PaperAccount) -> None:
        if account.status != "OPEN":
            raise Refused("AccountNotOpen")

    # Movements

    def open_account(self, *, account: str) -> None:
        self.accounts[account] = PaperAccount(account)

    def nothing_new(self, *, accounts: list[str], now: datetime) -> None:
        """A booking that was made before changes nothing, but what is due is due."""
        for name in accounts:
            self.opened(name, now)

    def set_status(self, *, account: str, status: str) -> None:
        self.account(account).status = status

    def award(
        self,
        *,
        account: str,
        key: str,
        source: str,
        points: int,
        lines: dict[tuple[str, str], int],
        active_at: datetime,
        months: int | None,
        unit_value: Decimal,
        currency: str,
        now: datetime,
    ) -> None:
        here = self.opened(account, now)
        if here.status not in ("OPEN", "FROZEN"):
            raise Refused("AccountNotOpen")
        lot = self.new_lot(
            here,
            source=source,
            amount=points,
            pending=points,
            active_at=active_at,
            expires_at=self.expiry(active_at, months),
            unit_value=unit_value,
            currency=currency,
            months=months,
        )
        here.earned += points
        of_lines = sum(lines.values())
        self.earnings[key] = Earning(key, account, lot, {**lines, ("", ""): points - of_lines})
        self.settle(here, now)

    def schedule_activation(self, *, account: str, source: str, active_at: datetime, now: datetime) -> None:
        here = self.final(account)
        self.settle(here, now)
        for lot in here.lots:
            if lot.source == source and lot.pending and lot.active_at == NEVER:
                lot.active_at = active_at
                lot.expires_at = self.expiry(active_at, lot.months)
        self.settle(here, now)

    def settle_account(self, *, account: str, now: datetime) -> None:
        self.opened(account, now)

    def hold(self, *, account: str, ref: str, wanted: int, until: datetime, now: datetime) -> None:
        here = self.opened(account, now)
        self.require_open(here)
        owner, last = self.last_hold(ref) or (here, None)
        if last is not None and last.state != "OPEN":
            last = None
        if last is not None and owner is not here:
            raise Refused("HoldNotOpen")
        self._reserve(here, last, ref=ref, wanted=wanted, until=until, now=now)

    def renew(self, *, account: str, number: int, until: datetime, now: datetime) -> None:
        """Of a reservation that is still the newest of its basket."""
        here = self.opened(account, now)
        self.require_open(here)
        [renewed] = [hold for hold in here.holds if hold.number == number]
        found = self.last_hold(renewed.ref)
        assert found is not None
        if found[1] is not renewed or renewed.state not in ("OPEN", "EXPIRED"):
            raise Refused("HoldNotOpen")
        hold = renewed if renewed.state == "OPEN" else None
        self._reserve(here, hold, ref=renewed.ref, wanted=renewed.wanted, until=until, now=now)

    def _reserve(
        self,
        here: PaperAccount,
        hold: PaperHold | None,
        *,
        ref: str,
        wanted: int,
        until: datetime,
        now: datetime,
    ) -> None:
        before = hold.points if hold else 0
        points = min(wanted, before + here.available)
        if points == 0:
            raise Refused("InsufficientPoints")
        if hold is None:
            self._holds += 1
            hold = PaperHold(self._holds, ref, wanted, 0, until)
            here.holds.append(hold)
        hold.wanted, hold.points, hold.until = wanted, points, until
        if points < before:
            self.repay(here)
            self.settle(here, now)

    def capture(self, *, ref: str, points: int, order: str, now: datetime) -> None:
        found = self.last_hold(ref)
        if found is None:
            raise Refused("HoldNotOpen")
        here, hold = found
        self.settle(here, now)
        if hold.state != "OPEN":
            raise Refused("HoldNotOpen")
        self.require_open(here)
        if points > hold.points:
            raise Refused("InsufficientPoints")
        rest = hold.points - points
        hold.state = "CAPTURED"
        # The reservation is over; what it covered and was not spent is available again.
        self.redemptions[order] = Redemption(order, here.name, self.take(here, points, "spent"), points)
        if rest:
            self.repay(here)
            self.settle(here, now)

    def release(self, *, ref: str, now: datetime, by_time: bool = False) -> None:
        if not by_time:
            for account in self.accounts.values():
                for hold in account.holds:
                    if hold.ref == ref and hold.state == "EXPIRED":
                        hold.state = "RELEASED"
        found = self.last_hold(ref)
        if found is None or found[1].state != "OPEN":
            return
        here, hold = found
        self.settle(here, now)
        if by_time and hold.until > now:
            return
        hold.state = "EXPIRED" if by_time else "RELEASED"
        self.repay(here)
        self.settle(here, now)

    def return_spend(self, *, order: str, points: int | None, grace_days: int, now: datetime) -> None:
        """
        To the lots it came from, longest-lived first. What has expired meanwhile lives on for a grace; what
        another account takes, since this one was merged into it, lives as long as it would have. First of
        all goes what is owed for it since an earlier return was undone.
        """
        spent = self.redemptions[order]
        for name in self.trail(spent.account):
            self.opened(name, now)
        here = self.final(spent.account)
        if here.status == "CLOSED":
            return
        points = spent.left() if points is None else points
        if points > spent.left():
            raise Refused("InsufficientPoints")
        if points == 0:
            return
        by_life = sorted(spent.shares, key=PaperLot.turn, reverse=True)
        parts = {name: Part() for name in self.trail(spent.account)}
        self.returns[f"{order}/{len(self.returns)}"] = Return(order, list(parts.values()))
        parts[here.name].points = min(points, spent.owed)
        spent.owed -= parts[here.name].points
        points -= parts[here.name].points
        forgiven = parts[here.name].points
        credited = self.forgive(here, forgiven, like=by_life[0], grace_days=grace_days, now=now)
        parts[here.name].lots += credited
        arrived = []
        for lot in by_life:
            share = min(points, spent.shares[lot])
            if share:
                points -= share
                spent.shares[lot] -= share
                lot.spent -= share
                [part] = [parts[name] for name in parts if lot in self.account(name).lots]
                part.points += share
                part.lots.append(lot)
                target = self.give(here, lot, share, grace_days=grace_days, now=now)
                (credited if lot in here.lots else arrived).append(target)
        self.repay(here, first=[*credited, *arrived])

    def give(
        self, here: PaperAccount, lot: PaperLot, points: int, *, grace_days: int, now: datetime
    ) -> PaperLot:
        """Points are spendable again in the lot that had them, or in a child of it."""
        if lot in here.lots and lot.expires_at > now:
            lot.left += points
            return lot
        until = lot.expires_at if lot.expires_at > now else self.grace(grace_days, now)
        lot.moved += points
        return self.child(here, lot, left=points, active_at=now, expires_at=until, months=None)

    def grace(self, days: int, now: datetime) -> datetime:
        return self.end_of_day((now + timedelta(days=days)).astimezone(self.zone).date())

    def forgive(
        self, here: PaperAccount, points: int, *, like: PaperLot, grace_days: int, now: datetime
    ) -> list[PaperLot]:
        """A deficit is forgiven as far as it is owed; the rest comes as new points, like those of a lot."""
        forgiven = min(points, here.debt)
        here.debt -= forgiven
        if points == forgiven:
            return []
        lives = like.active_at <= now < like.expires_at
        here.earned += points - forgiven
        lot = self.new_lot(
            here,
            source=like.source,
            amount=points - forgiven,
            left=points - forgiven,
            active_at=now,
            expires_at=like.expires_at if lives else self.grace(grace_days, now),
            unit_value=like.unit_value,
            currency=like.currency,
        )
        return [lot]

    def spend_again(self, *, key: str, now: datetime) -> None:
        """What came back is spent again: where it went, then first to expire, then it is owed."""
        back = self.returns[key]
        spent = self.redemptions[back.order]
        here = self.final(spent.account)
        self.settle(here, now)
        if here.status == "CLOSED" or back.undone:
            return
        back.undone = True
        for part in back.parts:
            first = [lot for lot in here.lots if any(lot.descends_from(other) for other in part.lots)]
            there = min(part.points, here.available)
            for lot, share in self.take(here, there, "spent", first).items():
                spent.shares[lot] = spent.shares.get(lot, 0) + share
            here.debt += part.points - there
            spent.owed += part.points - there

    def claw_back(
        self,
        *,
        key: str,
        points: int | None,
        now: datetime,
        shares: dict[str, Fraction] | None = None,
    ) -> None:
        """
        Pending points of the earning first, then its lot, then first to expire, then a deficit. By shares,
        each line and rule loses what is lacking to its part of what was recorded, rounded down.
        """
        earning = self.earnings[key]
        here = self.final(earning.account)
        self.settle(here, now)
        if here.status == "CLOSED":
            return
        gone = dict.fromkeys(earning.recorded, 0)
        for earlier in self.clawbacks.values():
            if earlier.earning == key and not earlier.undone:
                for place, share in earlier.by_line.items():
                    gone[place] += share
        left = {place: earning.recorded[place] - gone[place] for place in gone}
        if shares is not None:
            by_line = {
                place: max(int(recorded * shares.get(place[0], 0)) - gone[place], 0)
                for place, recorded in earning.recorded.items()
            }
        elif points is None:
            by_line = left
        elif points > sum(left.values()):
            raise Refused("InsufficientPoints")
        else:
            by_line = in_proportion(points, left)
        points = sum(by_line.values())
        if points == 0:
            return
        taken = Clawback(key, here.name, by_line)
        self.clawbacks[f"{key}/{len(self.clawbacks)}"] = taken
        # Its points may have been converted, or moved here from elsewhere.
        first = [lot for lot in here.lots if lot.descends_from(earning.lot)]
        for lot in first:
            share = min(points, lot.pending)
            if share:
                lot.pending -= share
                lot.reversed += share
                points -= share
                taken.pieces.append((lot, share, True))
        share = min(points, here.available)
        for lot, piece in self.take(here, share, "reversed", first).items():
            taken.pieces.append((lot, piece, False))
        taken.owed = points - share
        here.debt += taken.owed

    def give_again(self, *, key: str, grace_days: int, now: datetime) -> None:
        """
        A clawback is undone: each piece goes where it was, the deficit is forgiven, and the member has or
        is owed exactly so much more than before.
        """
        taken = self.clawbacks[key]
        for name in self.trail(self.earnings[taken.earning].account):
            self.opened(name, now)
        here, there = self.final(taken.account), self.account(taken.account)
        if here.status == "CLOSED" or taken.undone:
            return
        before = here.pending + here.available - here.debt
        taken.undone = True
        credited = []
        for lot, share, was_pending in taken.pieces:
            lot.reversed -= share
            if was_pending and lot.active_at > now and not lot.activated:
                if here is there:
                    lot.pending += share
                else:
                    lot.moved += share
                    credited.append(self.child(here, lot, pending=share))
            else:
                credited.append(self.give(here, lot, share, grace_days=grace_days, now=now))
        like = self.earnings[taken.earning].lot
        credited += self.forgive(here, taken.owed, like=like, grace_days=grace_days, now=now)
        self.repay(here, first=credited)
        assert here.pending + here.available - here.debt == before + sum(taken.by_line.values())

    def adjust(
        self,
        *,
        account: str,
        source: str,
        points: int,
        months: int | None,
        unit_value: Decimal,
        currency: str,
        now: datetime,
    ) -> None:
        here = self.opened(account, now)
        self.require_open(here)
        if points < 0:
            if -points > here.available:
                raise Refused("InsufficientPoints")
            self.take(here, -points, "reversed")
            return
        lot = self.new_lot(
            here,
            source=source,
            amount=points,
            left=points,
            active_at=now,
            expires_at=self.expiry(now, months),
            unit_value=unit_value,
            currency=currency,
            months=months,
        )
        here.earned += points
        self.repay(here, first=[lot])

    def write_off(self, *, account: str, points: int | None, now: datetime) -> None:
        here = self.opened(account, now)
        if here.status not in ("OPEN", "FROZEN"):
            raise Refused("AccountNotOpen")
        if points is not None and points > here.debt:
            raise Refused("DeficitTooSmall")
        here.debt -= here.debt if points is None else points

    # Between accounts and currencies

    def transfer(self, *, giver: str, receiver: str, points: int, now: datetime) -> None:
        """What expires first goes first, but nothing whose day has come, and keeps its day."""
        if giver == receiver:
            raise Refused("SameAccount")
        gives, takes = self.opened(giver, now), self.opened(receiver, now)
        self.require_open(gives)
        self.require_open(takes)
        if points > gives.available:
            raise Refused("InsufficientPoints")
        children = []
        for lot in sorted(gives.lots, key=PaperLot.turn):
            share = min(points, lot.left) if lot.expires_at > now else 0
            if share:
                lot.left -= share
                lot.moved += share
                points -= share
                children.append(self.child(takes, lot, left=share, source="transfer"))
        assert not points, "expired points were available"
        self.repay(takes, first=children)

    def merge(self, *, source: str, target: str, now: datetime) -> None:
        """Everything goes on elsewhere, with its own days; the deficit goes along."""
        if source == target:
            raise Refused("SameAccount")
        ends, goes_on = self.account(source), self.account(target)
        if ends.merged_into is not None:
            if ends.merged_into is goes_on:
                return
            raise Refused("AccountNotOpen")
        self.settle(ends, now)
        self.settle(goes_on, now)
        self.require_open(ends)
        self.require_open(goes_on)
        if ends.held:
            raise Refused("HoldsOpen")
        children = []
        for lot in sorted(ends.lots, key=PaperLot.turn):
            if lot.pending or lot.left:
                children.append(self.child(goes_on, lot, pending=lot.pending, left=lot.left))
                lot.moved += lot.pending + lot.left
                lot.pending = lot.left = 0
        goes_on.debt += ends.debt
        ends.debt = 0
        ends.status, ends.merged_into = "MERGED", goes_on
        self.repay(goes_on, first=children)

    def close(self, *, account: str, now: datetime) -> None:
        here = self.opened(account, now)
        if here.status == "CLOSED":
            return
        if here.status == "MERGED":
            raise Refused("AccountNotOpen")
        for hold in here.holds:
            if hold.state == "OPEN":
                self.release(ref=hold.ref, now=now)
            if hold.state == "EXPIRED":
                hold.state = "RELEASED"
        for lot in here.lots:
            lot.expired += lot.pending + lot.left
            lot.pending = lot.left = 0
        here.debt = 0
        here.status = "CLOSED"

    def convert(
        self, *, account: str, old: str, new: str, rate: Decimal, unit_value: Decimal, now: datetime
    ) -> None:
        """The sum is rounded down once; the lots with the largest fractions get what that leaves."""
        here = self.opened(account, now)
        lots = [lot for lot in here.lots if lot.currency == old and (lot.pending or lot.left)]
        if not lots:
            return
        if here.held:
            raise Refused("HoldsOpen")
        lots.sort(key=PaperLot.turn)
        exact = [(lot.pending + lot.left) * rate for lot in lots]
        shares = [int(value) for value in exact]
        for index in sorted(range(len(lots)), key=lambda index: shares[index] - exact[index]):
            if sum(shares) < int(sum(exact)):
                shares[index] += 1
        for lot, share in zip(lots, shares, strict=True):
            pending, left = (share, 0) if lot.pending else (0, share)
            lot.moved += lot.pending + lot.left
            lot.pending = lot.left = 0
            if share:
                self.child(here, lot, pending=pending, left=left, currency=new, unit_value=unit_value)
