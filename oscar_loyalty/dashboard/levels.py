"""Tiers and perks at a glance: who is where, who would be where, and which tier has which perk."""

from decimal import Decimal
from functools import cache
from typing import Any

from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.dashboard.base import DeskView
from oscar_loyalty.dashboard.forms import PreviewForm
from oscar_loyalty.flows import tier_desk, tier_wording
from oscar_loyalty.flows.tier_preview import GUEST, NO_TIER, Wish, preview_tier
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.programmes.queries import ProgrammeMissing, get_version, list_versions, state_of
from oscar_loyalty.shop.currencies import get_default_currency
from oscar_loyalty.shop.shipping import name_methods
from oscar_loyalty.shop.trial_baskets import get_price, search_products
from oscar_loyalty.tiers.models import TierScheme, TierStatus
from oscar_loyalty.tiers.queries import TierTable, name_of


class LevelsView(DeskView):
    """
    One version of the programme, the one in force unless ``?version=`` names another. Counting last year's
    customers reads all orders of a year, so it is done when it is asked for: ``?count=1``.
    """

    tab = "tiers"
    template_name = "tiers.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        version = self._find_version(request)
        scheme = TierScheme.objects.filter(version=version).first() if version is not None else None
        if version is None or scheme is None:
            return self.show(version=version, scheme=None)
        tiers = tier_desk.list_tiers(version)
        table = TierTable(version=version, scheme=scheme, tiers=tiers)
        members = dict(
            TierStatus.objects.filter(programme=version.programme_id, member__status="ACTIVE")
            .values_list("tier_code")
            .annotate(count=Count("pk"))
        )
        landings = (
            tier_desk.count_landings(version, scheme=scheme, now=self.now) if "count" in request.GET else None
        )
        return self.show(
            version=version,
            scheme=scheme,
            tiers=tiers,
            columns=[
                {
                    "tier": tier,
                    "name": name_of(tier),
                    "reach": tier_wording.reach_text(tier, table=table),
                    "keep": tier_wording.keep_text(tier, table=table),
                    "members": members.get(tier.code, 0),
                }
                for tier in reversed(tiers)
            ],
            period=tier_wording.period_text(table),
            matrix=tier_desk.build_perk_matrix(
                version, tiers=tiers, name_methods=cache(lambda: name_methods(request))
            ),
            landings=landings,
        )

    def _find_version(self, request: HttpRequest) -> ProgrammeVersion | None:
        number = request.GET.get("version", "")
        if not number:
            try:
                return get_version(at=self.now)
            except ProgrammeMissing:
                return None
        if not (number.isascii() and number.isdigit() and len(number) <= 9):
            raise Http404
        version = ProgrammeVersion.objects.select_related("programme").filter(
            programme__code=loyalty_settings.programme_code, number=int(number)
        )
        if (found := version.first()) is None:
            raise Http404
        return found


class PreviewView(DeskView):
    """
    The programme as members of any tier would have it, under any version that is not over. Nobody has to be
    a member for it, and nothing is written.
    """

    tab = "tiers"
    template_name = "tier_preview.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        versions = self._list_versions()
        if not versions:
            return self.show(version=None)
        wanted = request.GET.get("version")
        version = next((one for one in versions if str(one.number) == wanted), None)
        is_asked = version is not None and "who" in request.GET
        if version is None:
            if wanted:
                raise Http404
            version = next((one for one in versions if self._state(one) == "LIVE"), versions[0])
        tiers = tier_desk.list_tiers(version)
        people = [
            (GUEST, _("Guest")),
            (NO_TIER, _("Member without a tier")),
            *((tier.code, name_of(tier)) for tier in tiers),
        ]
        currencies = sorted(version.rates.values_list("currency", flat=True)) or [get_default_currency()]
        first = get_default_currency() if get_default_currency() in currencies else currencies[0]
        form = PreviewForm(
            # A tier of another version does not stop anybody from changing the version.
            request.GET if is_asked and request.GET["who"] in dict(people) else None,
            versions=[(str(one.number), self._name(one)) for one in versions],
            people=people,
            currencies=currencies,
            initial={
                "version": version.number,
                "who": tiers[-1].code if tiers else NO_TIER,
                "currency": first,
                **{name: request.GET.get(name, "") for name in ("goods", "product") if is_asked},
            },
        )
        found = self._look(request, form, version=version) if form.is_bound and form.is_valid() else {}
        return self.show(version=version, form=form, who=dict(people).get(form["who"].value(), ""), **found)

    def _look(self, request: HttpRequest, form: PreviewForm, *, version: ProgrammeVersion) -> dict[str, Any]:
        asked = form.cleaned_data
        product, others = None, []
        if asked["product"]:
            product, *others = search_products(asked["product"]) or [None]
            if product is None:
                form.add_error("product", _("No product is called so."))
                return {}
            price = get_price(product, request=request)
            if not price.exists or price.currency != asked["currency"]:
                form.add_error(
                    "product",
                    _("“%(product)s” has no price in %(currency)s.")
                    % {"product": product.get_title(), "currency": asked["currency"]},
                )
                return {}
        view = preview_tier(
            version,
            who=asked["who"],
            wish=Wish(goods=asked["goods"] or Decimal(0), currency=asked["currency"], product=product),
            request=request,
            name_methods=cache(lambda: name_methods(request)),
            now=self.now,
        )
        return {"view": view, "product": product, "others": others, "currency": asked["currency"]}

    def _list_versions(self) -> list[ProgrammeVersion]:
        """Drafts first, then what is scheduled, then what is in force."""
        versions = list_versions(now=self.now).select_related("programme")
        mine = versions.filter(programme__code=loyalty_settings.programme_code, archived_at=None)
        return [version for version in mine if self._state(version) != "ARCHIVED"]

    def _state(self, version: Any) -> ProgrammeVersion.State:
        return state_of(version, is_followed=version.is_followed, now=self.now)

    def _name(self, version: ProgrammeVersion) -> str:
        return f"{version.number} · {self._state(version).label}"
