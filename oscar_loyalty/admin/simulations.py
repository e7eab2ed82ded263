"""Simulations of a version: asked for, watched by reloading the page, cancelled, and read."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from oscar_loyalty import tasks
from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows import simulation
from oscar_loyalty.flows.part_wording import name_tiers
from oscar_loyalty.flows.wording import explain_entry, money, number
from oscar_loyalty.jobs import rules
from oscar_loyalty.jobs.models import JobRun
from oscar_loyalty.jobs.queries import find_open_job, list_jobs
from oscar_loyalty.jobs.services import AlreadyRunning, cancel_job
from oscar_loyalty.members.models import Member
from oscar_loyalty.points.models import Entry
from oscar_loyalty.programmes.models import ProgrammeVersion

#: Seconds after which the page of a running job is loaded again.
RELOAD_SECONDS = 3
#: Earlier simulations on the page of a version.
_SHOWN = 10


class MonthsForm(forms.Form):
    months = forms.IntegerField(label=_("Orders of the last (months)"), min_value=1, max_value=60, initial=12)


class SimulationPages(admin.ModelAdmin):  # type: ignore[type-arg]
    def get_simulation_urls(self) -> list[URLPattern]:
        return [
            path(
                "simulation/<int:job_id>/",
                self.admin_site.admin_view(self.simulation_view),
                name="oscar_loyalty_programmeversion_simulation",
            )
        ]

    def can_simulate(self, request: HttpRequest, version: ProgrammeVersion) -> bool:
        """A shop has orders for its own programme only."""
        return (
            request.user.has_perm("oscar_loyalty.simulate_programmeversion")
            and version.programme.code == loyalty_settings.programme_code
        )

    def simulate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for a simulation; the earlier ones below."""
        version = self.get_version_or_404(request, object_id, allowed=True)
        if not self.can_simulate(request, version):
            raise PermissionDenied
        form = MonthsForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                job = simulation.request_simulation(
                    version=version,
                    months=form.cleaned_data["months"],
                    requested_by_ref=f"user:{request.user.pk}",
                    now=timezone.now(),
                )
            except AlreadyRunning as running:
                job = running.job
                self.message_user(
                    request, gettext("This version is being simulated already."), messages.WARNING
                )
            else:
                tasks.nudge(tasks.run_job, job_id=job.pk)
            return _to_job(job)
        subject = simulation.subject_of(version)
        context = {
            "title": gettext("Simulate version %(number)s") % {"number": version.number},
            "form": form,
            "running": find_open_job(kind=simulation.KIND, subject=subject),
            "jobs": list_jobs(kind=simulation.KIND, subject=subject)[:_SHOWN],
        }
        return self.render_page(request, "simulate.html", version, context)

    def simulation_view(self, request: HttpRequest, job_id: int) -> HttpResponse:
        """How far it is, and what came of it. Works without JavaScript: the page loads itself again."""
        job = JobRun.objects.filter(pk=job_id, kind=simulation.KIND).first()
        if job is None:
            raise Http404
        version = self.get_version_or_404(request, str(job.parameters["version"]), allowed=True)
        if not self.can_simulate(request, version):
            raise PermissionDenied
        now = timezone.now()
        if request.method == "POST":
            if "_cancel" in request.POST:
                cancel_job(job_id=job.pk, now=now)
            return _to_job(job)
        left = rules.remaining(done=job.done, total=job.total, started_at=job.started_at, now=now)
        context = {
            "title": gettext("Simulation of version %(number)s") % {"number": version.number},
            "job": job,
            "percent": rules.percentage(done=job.done, total=job.total),
            "left": str(left) if left is not None and job.is_open else "",
            "is_waiting": job.state == JobRun.State.QUEUED,
            "is_silent": job.state == JobRun.State.RUNNING
            and rules.is_stale(heartbeat_at=job.heartbeat_at, now=now),
            "has_broker": tasks.has_broker(),
            "reload_seconds": RELOAD_SECONDS,
            "since": datetime.fromisoformat(job.parameters["since"]),
            "until": datetime.fromisoformat(job.parameters["until"]),
            "result": tell_result(job.result, may_see_members=_may_see_members(request))
            if job.result
            else None,
        }
        return self.render_page(request, "simulation.html", version, context)

    # Given by the pages of versions

    def get_version_or_404(self, request: HttpRequest, object_id: str, *, allowed: bool) -> ProgrammeVersion:
        raise NotImplementedError

    def render_page(
        self, request: HttpRequest, template: str, version: ProgrammeVersion, context: dict[str, Any]
    ) -> HttpResponse:
        raise NotImplementedError


def tell_result(result: Mapping[str, Any], *, may_see_members: bool) -> dict[str, Any]:
    """The result of a simulation in the reader's words."""
    names = _names_of([*result["most_gained"], *result["most_lost"]]) if may_see_members else {}
    return {
        "number": result["number"],
        "compared_number": result["compared_number"],
        "is_outdated": result["is_outdated"],
        "orders": number(result["orders"]),
        "cancelled": result["cancelled"] and number(result["cancelled"]),
        "members": number(result["members"]),
        "gaining": number(result["gaining"]),
        "losing": number(result["losing"]),
        "same": number(result["members"] - result["gaining"] - result["losing"]),
        "currencies": [_tell_sums(row) for row in result["currencies"]],
        "sides": [
            (title, [_tell_member(one, names=names) for one in result[key]])
            for title, key in (
                (gettext("Members who gain most"), "most_gained"),
                (gettext("Members who lose most"), "most_lost"),
            )
            if result[key]
        ],
        "tiers": _tell_tiers(result["tiers"], names=name_tiers()) if result["tiers"] else None,
        "samples": [_tell_sample(one) for one in result["samples"]],
    }


def _tell_sums(row: Mapping[str, Any]) -> dict[str, Any]:
    currency, before, after = row["currency"], row["points_before"], row["points_after"]
    costs = Decimal(row["cost_before"]), Decimal(row["cost_after"])
    return {
        "currency": currency,
        "orders": number(row["orders"]),
        "points_before": number(before),
        "points_after": number(after),
        "points_more": _signed(number(abs(after - before)), after - before),
        "cost_before": money(costs[0], currency),
        "cost_after": money(costs[1], currency),
        "cost_more": _signed(money(abs(costs[1] - costs[0]), currency), costs[1] - costs[0]),
    }


def _signed(text: str, value: int | Decimal) -> str:
    return f"+{text}" if value > 0 else f"−{text}" if value < 0 else text


def _tell_member(one: Mapping[str, Any], *, names: Mapping[int, str]) -> dict[str, Any]:
    difference = one["after"] - one["before"]
    return {
        "name": names.get(one["member_id"], gettext("member")),
        "url": reverse("admin:oscar_loyalty_member_change", args=[one["member_id"]])
        if one["member_id"] in names
        else "",
        "orders": number(one["orders"]),
        "before": number(one["before"]),
        "after": number(one["after"]),
        "more": _signed(number(abs(difference)), difference),
    }


def _tell_tiers(tiers: Mapping[str, Any], *, names: Mapping[str, str]) -> dict[str, Any]:
    """A matrix: from the tier of the row to that of the column."""
    codes: Sequence[str] = tiers["codes"]
    moves = {(before, after): members for before, after, members in tiers["moves"]}
    return {
        "codes": [_tier_name(code, names) for code in codes],
        "rows": [
            {
                "name": _tier_name(before, names),
                "cells": [
                    {
                        "members": number(moves.get((before, after), 0)),
                        "moved": before != after and bool(moves.get((before, after))),
                    }
                    for after in codes
                ],
            }
            for before in codes
        ],
    }


def _tier_name(code: str, names: Mapping[str, str]) -> str:
    return names.get(code, code) or gettext("no tier")


def _tell_sample(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "number": one["number"],
        "placed_at": datetime.fromisoformat(one["placed_at"]),
        "sides": [
            {"points": number(one[side]), "why": _why(one[f"facts_{side}"])} for side in ("before", "after")
        ],
        "is_same": one["before"] == one["after"],
    }


def _why(facts: Mapping[str, Any]) -> list[str]:
    """The sentences that the ledger has for a booking of these facts."""
    if not facts:
        return [gettext("earns nothing in this currency")]
    return explain_entry(Entry(explanation=dict(facts)))


def _names_of(members: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    found = Member.objects.select_related("user").in_bulk([one["member_id"] for one in members])
    return {pk: str(member) for pk, member in found.items()}


def _may_see_members(request: HttpRequest) -> bool:
    return request.user.has_perm("oscar_loyalty.view_member")


def _to_job(job: JobRun) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:oscar_loyalty_programmeversion_simulation", args=[job.pk]))
