"""Finding a member, and everything about one: what they have, where it is from, and why."""

import uuid

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.dashboard.base import ROWS_PER_PAGE, DeskView, slice_of
from oscar_loyalty.dashboard.tiers import describe_tier
from oscar_loyalty.flows.statements import read_rows, with_causes
from oscar_loyalty.members.models import Member
from oscar_loyalty.points import queries
from oscar_loyalty.points.models import Account, Entry, Hold
from oscar_loyalty.shop.customers import get_email, search_members

_MOST_LOTS = 100


class MembersView(DeskView):
    """Search by name, e-mail address, order number or public id."""

    tab = "members"
    template_name = "members.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        term = request.GET.get("q", "").strip()[:200]
        members = Member.objects.select_related("user").order_by("-joined_at", "-id")
        members = search_members(
            queries.with_counters(members, programme_code=loyalty_settings.programme_code), term=term
        )
        page = Paginator(members, ROWS_PER_PAGE).get_page(request.GET.get("page"))
        rows = [{"member": member, "email": get_email(member)} for member in page.object_list]
        return self.show(term=term, rows=rows, page_obj=page, paginator=page.paginator)


class MemberView(DeskView):
    """Balance, lots, reservations, corrections and the ledger of one member."""

    tab = "members"
    template_name = "member.html"

    def get(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        member = get_object_or_404(Member.objects.select_related("user"), public_id=public_id)
        account = queries.find_latest_account(
            member_id=member.pk, programme_code=loyalty_settings.programme_code
        )
        if account is None:
            return self.show(member=member, email=get_email(member), account=None)
        entries = slice_of(with_causes(Entry.objects.filter(account=account)), request, by="seq")
        lots = list(queries.list_open_lots(account_id=account.pk)[: _MOST_LOTS + 1])
        return self.show(
            member=member,
            email=get_email(member),
            account=account,
            is_open=account.status == Account.Status.OPEN,
            is_frozen=account.status == Account.Status.FROZEN,
            time_zone=account.programme.time_zone,
            balance=queries.get_balance(account=account, now=self.now),
            next_expiry=queries.find_next_expiry(account_id=account.pk, now=self.now),
            entries=entries,
            rows=list(read_rows(entries.rows)),
            lots=lots[:_MOST_LOTS],
            has_more_lots=len(lots) > _MOST_LOTS,
            holds=Hold.objects.filter(account=account).order_by("-id")[:10],
            adjustments=account.adjustments.select_related("requested_by", "decided_by").order_by("-id")[:10],
            freeze=account.freezes.select_related("frozen_by").filter(lifted_at=None).order_by("-id").first(),
            returns=member.returns.order_by("-id")[:10] if self.may("view_return") else (),
            **describe_tier(member, now=self.now),
        )
