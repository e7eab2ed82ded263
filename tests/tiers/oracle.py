"""
Tiers the slow way: every day is looked at, everything is summed anew each time. Shares no code with
``oscar_loyalty.tiers``; months are dateutil's.
"""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta


class Oracle:
    def __init__(self, *, contributions, overrides, schemes, joined_at, time_zone):
        self.contributions = contributions
        self.overrides = overrides
        self.schemes = schemes
        self.joined_at = joined_at
        self.zone = ZoneInfo(time_zone)

    def day(self, moment):
        return moment.astimezone(self.zone).date()

    def midnight(self, day):
        return datetime.combine(day, time.min, tzinfo=self.zone).astimezone(UTC)

    def scheme_at(self, moment):
        found = [scheme for begin, scheme in self.schemes if begin <= moment]
        return found[-1] if found else None

    def amount(self, one, scheme):
        if scheme.metric == "POINTS":
            return one.points
        if scheme.metric == "ORDERS":
            return one.orders
        return one.spend if one.currency == scheme.currency else 0

    def period(self, scheme, day):
        if scheme.period == "CALENDAR":
            return day.year
        first, number = self.day(self.joined_at), 0
        while first + relativedelta(months=scheme.months * number) > day:
            number -= 1
        while first + relativedelta(months=scheme.months * (number + 1)) <= day:
            number += 1
        return number

    def counted(self, scheme, moment):
        """What counts in this period, and what counts for reaching and keeping."""
        today = self.day(moment)
        bought = [one for one in self.contributions if one.occurred_at <= moment]
        if scheme.period == "ROLLING":
            months = relativedelta(months=scheme.months)
            total = sum(
                self.amount(one, scheme) for one in bought if today <= self.day(one.occurred_at) + months
            )
            return total, total
        this = self.period(scheme, today)
        sums = {this: 0, this - 1: 0}
        for one in bought:
            number = self.period(scheme, self.day(one.occurred_at))
            if number in sums:
                sums[number] += self.amount(one, scheme)
        return sums[this], max(sums.values())

    def is_over(self, since, moment, grace):
        """Whether so many whole days of grace are over."""
        if grace == 0:
            return True
        first = self.day(since)
        if since != self.midnight(first):
            first += timedelta(days=1)
        return self.day(moment) >= first + timedelta(days=grace)

    def moments(self, now):
        found = {self.joined_at, now}
        found |= {one.occurred_at for one in self.contributions}
        found |= {begin for begin, _scheme in self.schemes}
        found |= {moment for one in self.overrides for moment in (one.active_from, one.active_to)}
        day = self.day(self.joined_at)
        while day <= self.day(now):
            found.add(self.midnight(day))
            day += timedelta(days=1)
        return sorted(moment for moment in found if self.joined_at <= moment <= now)

    def live(self, now):
        """The tier, the tier that is earned, what counts, and the changes (moment, from, to)."""
        rank, short_from, code, before = 0, None, "", None
        counts, changes = 0, []
        for moment in self.moments(now):
            scheme = self.scheme_at(moment)
            codes = [tier.code for tier in scheme.tiers] if scheme else []
            if scheme is None or before is None:
                rank, short_from = 0, None
            elif rank:
                held = [tier.code for tier in before.tiers][rank - 1]
                rank = codes.index(held) + 1 if held in codes else min(rank, len(codes))
            before = scheme
            new, counts = "", 0
            if scheme is not None:
                counts, amount = self.counted(scheme, moment)
                for number, tier in enumerate(scheme.tiers, start=1):
                    if amount >= tier.entry and number > rank:
                        rank, short_from = number, None
                while rank and amount < scheme.tiers[rank - 1].keep:
                    short_from = short_from or moment
                    if not self.is_over(short_from, moment, scheme.grace_days):
                        break
                    short_from = None
                    rank -= 1
                    if scheme.downgrade == "FULL":
                        while rank and amount < scheme.tiers[rank - 1].keep:
                            rank -= 1
                if rank and amount >= scheme.tiers[rank - 1].keep:
                    short_from = None
                best = rank
                for one in self.overrides:
                    if one.active_from <= moment < one.active_to and one.tier_code in codes:
                        best = max(best, codes.index(one.tier_code) + 1)
                new = codes[best - 1] if best else ""
            if new != code:
                changes.append((moment, code, new))
                code = new
        return code, (codes[rank - 1] if rank else ""), counts, changes
