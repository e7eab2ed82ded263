"""A member as staff see them: who they are, what they have, and why."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_user_model
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.admin.adjustments import can_adjust
from oscar_loyalty.admin.ledger import url_of_order
from oscar_loyalty.admin.merges import can_merge
from oscar_loyalty.admin.read_only import ReadOnlyAdmin
from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows.statements import read_rows, with_causes
from oscar_loyalty.flows.wording import number
from oscar_loyalty.members.models import ClaimedOrder, Consent, Member
from oscar_loyalty.points import queries
from oscar_loyalty.points.models import Account, Entry, Hold
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.shop.customers import get_email, list_search_fields, search_members
from oscar_loyalty.shop.orders import find_order_ids

ENTRIES_PER_PAGE = 25


@admin.register(Member)
class MemberAdmin(ReadOnlyAdmin):
    change_form_template = "admin/oscar_loyalty/member/change_form.html"
    list_display = ["name", "email", "status", "joined_at", "available", "pending", "debt"]
    list_filter = ["status", "joined_at"]
    list_select_related = ["user"]
    search_help_text = _("Name, e-mail address, order number or public id")
    ordering = ["-joined_at", "-id"]
    show_full_result_count = False
    readonly_fields = ["customer"]
    fields = ["customer", "public_id", "status", "joined_at", "left_at", "terms_version", "terms_accepted_at"]

    # Finding

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return list_search_fields()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Member], search_term: str
    ) -> tuple[QuerySet[Member], bool]:
        return search_members(queryset, term=search_term), False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Member]:
        members: QuerySet[Member] = super().get_queryset(request)
        return queries.with_counters(members, programme_code=loyalty_settings.programme_code)

    # Columns

    @admin.display(description=_("member"), ordering="user")
    def name(self, member: Member) -> str:
        return str(member)

    @admin.display(description=_("e-mail"))
    def email(self, member: Member) -> str:
        return get_email(member) or "—"

    @admin.display(description=_("available"), ordering="account_available")
    def available(self, member: Any) -> str:
        return _count(member.account_available)

    @admin.display(description=_("pending"), ordering="account_pending")
    def pending(self, member: Any) -> str:
        return _count(member.account_pending)

    @admin.display(description=_("deficit"), ordering="account_debt")
    def debt(self, member: Any) -> str:
        return _count(member.account_debt)

    @admin.display(description=_("customer"))
    def customer(self, member: Member) -> SafeString | str:
        if member.user is None:
            return gettext("deleted")
        opts = get_user_model()._meta
        try:
            url = reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[member.user_id])
        except NoReverseMatch:
            return str(member.user)
        return format_html('<a href="{}">{}</a> {}', url, member, self.email(member))

    # The member's page

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        member = self.get_object(request, unquote(object_id))
        if member is not None and self.has_view_permission(request, member):
            extra_context = {
                **_everything_about(member, page=request.GET.get("page")),
                **(extra_context or {}),
            }
            extra_context["can_adjust"] = can_adjust(request)
            extra_context["can_merge"] = can_merge(request)
        return super().change_view(request, object_id, form_url, extra_context)


@admin.register(ClaimedOrder)
class ClaimedOrderAdmin(ReadOnlyAdmin):
    """Which guests' orders became whose, and on what proof."""

    list_display = ["order_number", "member", "proof", "claimed_at"]
    list_filter = ["proof", "claimed_at"]
    list_select_related = ["member__user"]
    search_fields = ["order_number__exact", "member__public_id__iexact"]
    search_help_text = _("Order number or public id of the member")
    ordering = ["-claimed_at", "-id"]
    show_full_result_count = False
    fields = ["order", "claimant", "proof", "claimed_at"]
    readonly_fields = ["order", "claimant"]

    @admin.display(description=_("order"))
    def order(self, claimed: ClaimedOrder) -> SafeString | str:
        url = url_of_order(find_order_ids([claimed.order_number]).get(claimed.order_number))
        return format_html('<a href="{}">{}</a>', url, claimed) if url else claimed.order_number

    @admin.display(description=_("member"))
    def claimant(self, claimed: ClaimedOrder) -> SafeString:
        url = reverse("admin:oscar_loyalty_member_change", args=[claimed.member_id])
        return format_html('<a href="{}">{}</a>', url, claimed.member)


def _everything_about(member: Member, *, page: str | None) -> dict[str, Any]:
    """Balance, ledger, lots, reservations, consents: as many statements for one entry as for a page."""
    now = timezone.now()
    account = queries.find_account(member_id=member.pk, programme_code=loyalty_settings.programme_code)
    context: dict[str, Any] = {
        "account": account,
        "consents": Consent.objects.filter(member=member).order_by("-id"),
    }
    if account is None:
        return context
    entries = _page_of_entries(account, page=page)
    return {
        **context,
        "balance": queries.get_balance(account=account, now=now),
        "next_expiry": queries.find_next_expiry(account_id=account.pk, now=now),
        "entries": entries,
        "rows": _rows_of(list(entries)),
        "lots": [
            {"lot": lot, "waits": lot.active_at == FAR_FUTURE, "stays": lot.expires_at == FAR_FUTURE}
            for lot in queries.list_open_lots(account_id=account.pk)[:100]
        ],
        "holds": Hold.objects.filter(account=account).order_by("-id")[:10],
        "adjustments": account.adjustments.select_related("requested_by", "decided_by").order_by("-id")[:10],
    }


def _page_of_entries(account: Account, *, page: str | None) -> Page:  # type: ignore[type-arg]
    entries = with_causes(Entry.objects.filter(account=account).order_by("-seq"))
    return Paginator(entries, ENTRIES_PER_PAGE).get_page(page)


def _rows_of(entries: list[Entry]) -> list[dict[str, Any]]:
    return [{"row": row, "order_url": url_of_order(row.order_id)} for row in read_rows(entries)]


def _count(points: int | None) -> str:
    return "—" if points is None else number(points)
