"""Pages of the programme. Each view asks the flows and rooms that the API asks too."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.generic import TemplateView, View
from oscar.core.loading import get_class

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import membership, redemption, tier_wording
from oscar_loyalty.flows.birthdays import has_presents, read_birthday
from oscar_loyalty.flows.causes import with_causes
from oscar_loyalty.flows.earning import preview_under_policy
from oscar_loyalty.flows.history import read_lines
from oscar_loyalty.members import queries as members
from oscar_loyalty.members import services as member_services
from oscar_loyalty.members.models import Consent, Member
from oscar_loyalty.points import queries as points
from oscar_loyalty.points.rules import PurchaseLine, value_of
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.rules import Policy
from oscar_loyalty.shop.currencies import get_default_currency
from oscar_loyalty.shop.products import list_excluded_names
from oscar_loyalty.shop.shipping import name_methods
from oscar_loyalty.tiers.progress import read_past_changes, read_progress
from oscar_loyalty.tiers.queries import find_held_tier, find_tier_table, name_of

PageTitleMixin: Any = get_class("customer.mixins", "PageTitleMixin")

ENTRIES_PER_PAGE = 20
AnyResponse = TypeVar("AnyResponse", bound=HttpResponseBase)
#: What an order of this much would earn, as an example for guests.
EXAMPLE_AMOUNT = Decimal(50)


class StorefrontView(View):
    """Switched off, the programme has no pages."""

    now: datetime
    works_switched_off = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not (loyalty_settings.enabled or self.works_switched_off):
            raise Http404
        self.now = timezone.now()
        return super().dispatch(request, *args, **kwargs)

    def get_policy(self) -> Policy:
        """What the programme promises now. A shop without a programme has no page about it."""
        policy = programmes.find_policy(currency=get_default_currency(), at=self.now)
        if policy is None:
            raise Http404
        return policy


class ProgrammeView(StorefrontView, TemplateView):
    """What the programme promises, for everybody: generated from the version in force."""

    template_name = "oscar_loyalty/programme.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        policy = self.get_policy()
        version = programmes.get_version(at=self.now)
        member = members.find_active_member(user_id=self.request.user.pk)
        line = PurchaseLine(
            ref="example",
            product_id=None,
            product_class_id=None,
            incl_tax=EXAMPLE_AMOUNT,
            excl_tax=EXAMPLE_AMOUNT,
        )
        return super().get_context_data(
            policy=policy,
            rates=list(version.rates.order_by("currency")),
            terms_url=loyalty_settings.terms_url,
            excluded=list_excluded_names(policy=policy),
            example_amount=EXAMPLE_AMOUNT,
            example=preview_under_policy(lines=[line], policy=policy),
            member=member,
            tiers=describe_tiers(
                member=member, now=self.now, name_methods=cache(lambda: name_methods(self.request))
            )
            if policy.has_tiers
            else None,
            **kwargs,
        )


class MyPointsView(LoginRequiredMixin, StorefrontView, PageTitleMixin, TemplateView):  # type: ignore[misc]
    """A member's balance and where it comes from; whoever is no member can become one here."""

    template_name = "oscar_loyalty/my_points.html"
    active_tab = "loyalty"

    def get_page_title(self) -> str:
        return _("My points")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        policy = self.get_policy()
        context["policy"] = policy
        account = points.find_account_of_user(
            user_id=self.request.user.pk, programme_code=policy.programme_code
        )
        if account is None:
            return context
        balance = points.get_balance(account=account, now=self.now)
        entries = with_causes(points.list_entries(account_id=account.pk))
        page = Paginator(entries, ENTRIES_PER_PAGE).get_page(self.request.GET.get("page"))
        if policy.has_tiers and (progress := read_progress(member_id=account.member_id, now=self.now)):
            context["progress"] = progress
            context["tier_changes"] = read_past_changes(member_id=account.member_id, table=progress.table)
        lots = [
            lot
            for lot in points.list_open_lots(account_id=account.pk)
            if lot.pending or lot.expires_at > self.now
        ]
        birthday = read_birthday(member_id=account.member_id, now=self.now)
        if birthday.day or has_presents(policy=policy, member_id=account.member_id, now=self.now):
            context["birthday"] = birthday
        context.update(
            account=account,
            is_frozen=account.status == account.Status.FROZEN,
            balance=balance,
            worth=value_of(balance.available, rate=policy.rate) if policy.rate else None,
            next_expiry=points.find_next_expiry(account_id=account.pk, now=self.now),
            lots=lots,
            page_obj=page,
            paginator=page.paginator,
            lines=list(read_lines(page.object_list, user_id=self.request.user.pk)),
            is_new=not page.paginator.count,
            wants_marketing=members.has_consent(
                member_id=account.member_id, purpose=Consent.Purpose.MARKETING
            ),
        )
        return context


def describe_tiers(
    *, member: Member | None, now: datetime, name_methods: Callable[[], Mapping[str, str]] = dict
) -> dict[str, Any] | None:
    """The table of tiers, for guests too; a member's own is marked."""
    table = find_tier_table(at=now)
    if table is None:
        return None
    held = find_held_tier(member_id=member.pk, at=now) if member is not None else None
    perks = tier_wording.perk_sentences(table, name_methods=name_methods)
    return {
        "has_perks": bool(perks),
        "rows": [
            {
                "name": name_of(tier),
                "reach": tier_wording.reach_text(tier, table=table),
                "keep": tier_wording.keep_text(tier, table=table),
                "perks": perks.get(tier.code, []),
                "is_mine": held is not None and held.code == tier.code,
            }
            for tier in table.tiers
        ],
        "sentences": tier_wording.rules_sentences(table),
    }


class JoinView(StorefrontView):
    """One click makes a signed-in customer a member; a second click changes nothing."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(reverse("loyalty:programme"))
        if request.POST.get("terms_version") != self.get_policy().terms_version:
            messages.warning(request, _("The terms have just changed. Please read them and join again."))
            return redirect("loyalty:programme")
        membership.join_programme(
            user_id=request.user.pk, now=self.now, marketing="marketing" in request.POST
        )
        messages.success(request, _("Welcome! You collect points from now on."))
        return redirect(safe_next(request, default=reverse("loyalty:my-points")))


class MarketingConsentView(LoginRequiredMixin, StorefrontView):
    """A member gives or withdraws their consent to marketing mails."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        member = members.find_active_member(user_id=request.user.pk)
        if member is None:
            raise Http404
        granted = request.POST.get("granted") == "1"
        member_services.record_consent(
            member_id=member.pk,
            purpose=Consent.Purpose.MARKETING,
            granted=granted,
            source="MY_POINTS",
            now=self.now,
        )
        if granted:
            messages.success(request, _("You will hear from us about offers and points campaigns."))
        else:
            messages.success(request, _("You will receive no more marketing mails from us."))
        return redirect("loyalty:my-points")


class RedeemView(StorefrontView):
    """Put points to use for the basket. The page is shown by the redirect, so going back sends nothing."""

    http_method_names = ["post"]

    def post(self, request: Any) -> HttpResponse:
        wanted = self._read_points(request)
        if wanted is None:
            messages.error(request, _("Please enter a whole number of points."))
        elif wanted == 0:
            _undo(request, now=self.now)
        else:
            self._redeem(request, wanted)
        return _back_to_box(request)

    def _read_points(self, request: Any) -> int | None:
        if "all" in request.POST:
            return redemption.get_redemption(basket=request.basket, now=self.now).maximum
        text = request.POST.get("points", "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None

    def _redeem(self, request: Any, wanted: int) -> None:
        try:
            result = redemption.redeem(basket=request.basket, points=wanted, now=self.now)
        except redemption.RedemptionRefused as refused:
            found = redemption.get_redemption(basket=request.basket, now=self.now)
            context = {"refused": refused.code, "redemption": found, "wanted": wanted}
            messages.error(request, render_message("refused", context))
        else:
            level = messages.SUCCESS if result.applied >= wanted else messages.WARNING
            messages.add_message(
                request, level, render_message("redeemed", {"redemption": result, "wanted": wanted})
            )


class UndoRedemptionView(StorefrontView):
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        _undo(request, now=self.now)
        return _back_to_box(request)


def _undo(request: Any, *, now: datetime) -> None:
    try:
        redemption.undo_redemption(basket=request.basket, now=now)
    except redemption.RedemptionRefused as refused:
        messages.error(request, render_message("refused", {"refused": refused.code}))
    else:
        messages.info(request, _("No points are used for this order."))


def render_message(name: str, context: dict[str, Any]) -> str:
    """A message as plain text on one line."""
    return " ".join(render_to_string(f"oscar_loyalty/messages/{name}.txt", context).split())


def _back_to_box(request: HttpRequest) -> HttpResponse:
    return redirect(safe_next(request, default=reverse("basket:summary")) + "#loyalty-redemption")


def safe_next(request: HttpRequest, *, default: str) -> str:
    """Where the form says it came from, if that is a page of this shop."""
    url = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        url, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    # Without a slash in front Django takes it for the name of a page, and raises when there is none.
    return url if safe and url.startswith("/") else default


def caller_of(request: HttpRequest) -> str:
    """By whom tries are counted."""
    if request.user.is_authenticated:
        return f"user:{request.user.pk}"
    return f"address:{request.META.get('REMOTE_ADDR', '')}"


def keep_secret(response: AnyResponse) -> AnyResponse:
    """For a page whose address is a key: it is kept nowhere and told to no other site."""
    patch_cache_control(response, private=True, no_store=True)
    response["Referrer-Policy"] = "same-origin"
    response["X-Robots-Tag"] = "noindex"
    return response
