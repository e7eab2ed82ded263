"""Entries of the ledger, which nobody changes, and reservations, which staff can end."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from oscar.core.loading import get_model

from oscar_loyalty.admin.read_only import ReadOnlyAdmin
from oscar_loyalty.flows.causes import list_touched
from oscar_loyalty.flows.wording import count_points, explain_entry, money, number, signed_points
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Entry, Hold, Lot, Posting
from oscar_loyalty.shop.orders import LineTitle, find_line_titles, find_order_ids

#: How many reservations are ended at once. Django takes no form of more than a thousand fields.
_MOST_HOLDS = 500


@admin.display(description=_("member"))
def member_link(row: Any) -> SafeString:
    """A link to the member whose account a row belongs to."""
    member = row.account.member
    url = reverse("admin:oscar_loyalty_member_change", args=[member.pk])
    return format_html('<a href="{}">{}</a>', url, member)


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "member", "kind", "signed", "available_after", "order_ref", "actor_ref"]
    list_filter = ["kind", "created_at"]
    list_select_related = ["account__member__user"]
    search_fields = ["order_ref__exact", "idempotency_key__exact"]
    search_help_text = _("Order number or key of the booking")
    readonly_fields = ["member", "signed", "why", "order", "undoes", "lots", "moves", "earned_lines"]
    ordering = ["-id"]
    show_full_result_count = False
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "member",
                    "kind",
                    "signed",
                    "available_after",
                    "why",
                    "order",
                    "undoes",
                    "reason_code",
                    "lots",
                ]
            },
        ),
        (
            _("Booking"),
            {"fields": ["created_at", "effective_at", "actor_ref", "idempotency_key"]},
        ),
        (_("Postings"), {"fields": ["moves", "earned_lines"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Entry]:
        queryset: QuerySet[Entry] = super().get_queryset(request)
        if request.resolver_match and request.resolver_match.url_name == "oscar_loyalty_entry_change":
            queryset = queryset.select_related("account__member__user", "reverses").prefetch_related(
                Prefetch("postings", Posting.objects.select_related("lot").order_by("pk")), "lines"
            )
        return queryset

    member = staticmethod(member_link)

    @admin.display(description=_("points"))
    def signed(self, entry: Entry) -> str:
        return signed_points(entry)

    @admin.display(description=_("because"))
    def why(self, entry: Entry) -> str:
        return "; ".join(explain_entry(entry)) or "—"

    @admin.display(description=_("order"))
    def order(self, entry: Entry) -> SafeString | str:
        order_id = find_order_ids([entry.order_ref]).get(entry.order_ref)
        url = url_of_order(order_id)
        return format_html('<a href="{}">{}</a>', url, entry.order_ref) if url else entry.order_ref or "—"

    @admin.display(description=_("undoes"))
    def undoes(self, entry: Entry) -> SafeString | str:
        if entry.reverses is None:
            return "—"
        url = reverse("admin:oscar_loyalty_entry_change", args=[entry.reverses_id])
        return format_html('<a href="{}">{}</a>', url, entry.reverses)

    @admin.display(description=_("lots"))
    def lots(self, entry: Entry) -> str:
        return ", ".join(str(touched) for touched in list_touched(entry)) or "—"

    @admin.display(description=_("moved"))
    def moves(self, entry: Entry) -> SafeString:
        return format_html_join(
            "",
            "<p>{}: {} → {}{}</p>",
            (
                (
                    number(posting.points),
                    posting.get_debit_display(),
                    posting.get_credit_display(),
                    f" ({posting.lot.source_ref})" if posting.lot else "",
                )
                for posting in entry.postings.all()
            ),
        )

    @admin.display(description=_("by order line"))
    def earned_lines(self, entry: Entry) -> SafeString | str:
        lines = entry.lines.all()
        titles = find_line_titles(line.line_ref for line in lines)
        currency = str(entry.explanation.get("currency", ""))
        return (
            format_html_join(
                "",
                "<p>{}: {} ({} {})</p>",
                (
                    (
                        _title_of(line.line_ref, titles=titles),
                        count_points(line.points),
                        gettext("on"),
                        money(line.basis, currency) if currency else number(line.basis),
                    )
                    for line in lines
                ),
            )
            or "—"
        )


def _title_of(ref: str, *, titles: dict[str, LineTitle]) -> str:
    if known := titles.get(ref):
        return known.title
    return gettext("Shipping") if ref == "shipping" else ref


def url_of_order(order_id: int | None) -> str:
    """The page of an order in the admin; empty when there is none."""
    if order_id is None:
        return ""
    opts = get_model("order", "Order")._meta
    try:
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[order_id])
    except NoReverseMatch:
        return ""


@admin.register(Lot)
class LotAdmin(ReadOnlyAdmin):
    list_display = ["source_ref", "member", "amount", "pending", "remaining", "active_at", "expires_at"]
    list_filter = ["open"]
    list_select_related = ["account__member__user"]
    search_fields = ["source_ref__exact"]
    search_help_text = _("What earned it, for example order:100042")
    ordering = ["-id"]
    show_full_result_count = False
    readonly_fields = ["member", "parent"]
    fields = [
        "member",
        "source_ref",
        "parent",
        "amount",
        *("pending", "remaining", "spent", "expired", "reversed", "moved"),
        *("active_at", "expires_at", "unit_value", "currency"),
    ]

    member = staticmethod(member_link)

    @admin.display(description=_("continues"))
    def parent(self, lot: Lot) -> SafeString | str:
        if lot.parent_lot is None:
            return "—"
        url = reverse("admin:oscar_loyalty_lot_change", args=[lot.parent_lot_id])
        return format_html('<a href="{}">{}</a>', url, lot.parent_lot)


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    list_display = ["ref", "member", "points", "requested", "state", "created_at", "expires_at", "order_ref"]
    list_filter = ["state", "created_at"]
    list_select_related = ["account__member__user"]
    search_fields = ["ref__exact", "order_ref__exact"]
    search_help_text = _("Reference (basket:17) or order number")
    ordering = ["-id"]
    show_full_result_count = False
    actions = ["release"]
    readonly_fields = ["member"]
    fields = [
        "member",
        "ref",
        "state",
        "requested",
        "points",
        "captured",
        "amount",
        "currency",
        "created_at",
        "expires_at",
        "closed_at",
        "order_ref",
    ]

    member = staticmethod(member_link)

    def has_release_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("oscar_loyalty.change_hold")

    @admin.action(
        description=_("End the chosen open reservations and give the points back"), permissions=["release"]
    )
    def release(self, request: HttpRequest, queryset: QuerySet[Hold]) -> HttpResponse | None:
        """Show what would be ended, then end it."""
        chosen = queryset.filter(state=Hold.State.OPEN)
        if "_release" not in request.POST and (count := chosen.count()):
            holds = list(chosen.select_related("account__member__user").order_by("id")[:_MOST_HOLDS])
            context = {
                **self.admin_site.each_context(request),
                "title": gettext("End reservations"),
                "opts": self.opts,
                "media": self.media,
                "holds": holds,
                "count": count,
                "points": sum(hold.points for hold in holds),
                "action_checkbox_name": ACTION_CHECKBOX_NAME,
            }
            return TemplateResponse(request, "admin/oscar_loyalty/hold/confirm.html", context)
        now = timezone.now()
        released = sum(
            bool(services.release_hold(ref=ref, now=now, actor_ref=f"user:{request.user.pk}"))
            for ref in list(chosen.values_list("ref", flat=True))
        )
        text = ngettext("%(count)s reservation was ended.", "%(count)s reservations were ended.", released)
        self.message_user(
            request, text % {"count": released}, messages.SUCCESS if released else messages.WARNING
        )
        return None
