"""The tier of one member: where they stand, and what staff gave them."""

import uuid
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.dashboard.base import DeskView
from oscar_loyalty.dashboard.forms import GiveTierForm
from oscar_loyalty.flows import tier_wording
from oscar_loyalty.members.models import Member
from oscar_loyalty.programmes.rules import end_of_day
from oscar_loyalty.shop.customers import find_actor_names
from oscar_loyalty.tiers import queries, services
from oscar_loyalty.tiers.models import TierOverride
from oscar_loyalty.tiers.progress import read_past_changes, read_progress


def describe_tier(member: Member, *, now: datetime) -> dict[str, Any]:
    """What the page of a member shows of their tier; nothing while there are no tiers."""
    table = queries.find_tier_table(at=now)
    if table is None:
        return {}
    progress = read_progress(member_id=member.pk, now=now, table=table)
    assert progress is not None
    overrides = list(queries.list_overrides(member_id=member.pk)[:10])
    givers = find_actor_names(override.given_by_ref for override in overrides) if overrides else {}
    return {
        "progress": progress,
        "tier_sentences": tier_wording.sentences(progress),
        "tier_counted": tier_wording.counted_sentence(progress),
        "tier_changes": read_past_changes(member_id=member.pk, table=table),
        "overrides": [
            {
                "row": override,
                "name": table.name_of(override.tier_code),
                "given_by": givers.get(override.given_by_ref, override.given_by_ref),
                "runs": override.ended_at is None and override.active_from <= now < override.active_to,
            }
            for override in overrides
        ],
    }


class _TierView(DeskView):
    tab = "members"

    def find(self, public_id: uuid.UUID) -> tuple[Member, queries.TierTable]:
        """The member and the tiers of today. :raises Http404: there are none, or they take no part"""
        member = get_object_or_404(Member, public_id=public_id, status=Member.Status.ACTIVE)
        table = queries.find_tier_table(at=self.now)
        if table is None or table.version.programme.code != loyalty_settings.programme_code:
            raise Http404
        return member, table


class GiveTierView(_TierView):
    """Lift a member to a tier until a day: asked for, shown, confirmed."""

    template_name = "give_tier.html"

    def get(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        member, table = self.find(public_id)
        return self._show(member, GiveTierForm(table=table, now=self.now))

    def post(self, request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
        member, table = self.find(public_id)
        form = GiveTierForm(request.POST, table=table, now=self.now)
        if not form.is_valid():
            return self._show(member, form)
        given = form.cleaned_data
        name = table.name_of(given["tier_code"])
        if "confirmed" not in request.POST:
            progress = read_progress(member_id=member.pk, now=self.now, table=table)
            return self._show(member, form, confirm=True, name=name, until=given["until"], progress=progress)
        try:
            services.give_tier(
                programme_id=table.version.programme_id,
                member_id=member.pk,
                tier_code=given["tier_code"],
                active_to=end_of_day(given["until"], time_zone=table.version.programme.time_zone),
                reason=given["reason"],
                given_by_ref=self.actor_ref,
                now=self.now,
            )
        except (services.UnknownTier, services.OverrideTooShort):
            text = _("Nothing was changed: the tiers of the programme have changed meanwhile.")
            return self.go(text, messages.ERROR, "loyalty-member", public_id=public_id)
        text = _("%(member)s has %(tier)s now.") % {"member": member, "tier": name}
        return self.go(text, messages.SUCCESS, "loyalty-member", public_id=public_id)

    def _show(self, member: Member, form: GiveTierForm, **context: Any) -> HttpResponse:
        return self.show(member=member, form=form, **context)


class EndTierView(_TierView):
    """End before its day what staff gave."""

    template_name = "end_tier.html"

    def get(self, request: HttpRequest, public_id: uuid.UUID, pk: int) -> HttpResponse:
        member, table = self.find(public_id)
        override = self._find_override(member, pk)
        return self.show(member=member, override=override, name=table.name_of(override.tier_code))

    def post(self, request: HttpRequest, public_id: uuid.UUID, pk: int) -> HttpResponse:
        member, _table = self.find(public_id)
        services.end_override(override_id=self._find_override(member, pk).pk, now=self.now)
        text = _("The tier given by staff has ended.")
        return self.go(text, messages.SUCCESS, "loyalty-member", public_id=public_id)

    def _find_override(self, member: Member, pk: int) -> TierOverride:
        override = queries.list_overrides(member_id=member.pk).filter(pk=pk).first()
        if override is None:
            raise Http404
        return override
