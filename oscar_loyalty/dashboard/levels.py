"""Tiers and perks at a glance: who is where, who would be where, and which tier has which perk."""

from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.dashboard.base import DeskView
from oscar_loyalty.flows import tier_desk, tier_wording
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.programmes.queries import ProgrammeMissing, get_version
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
            matrix=tier_desk.build_perk_matrix(version, tiers=tiers),
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
