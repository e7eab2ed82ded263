"""Steps of a version beside its form: publish, take back, put away, compare, check, simulate."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import AdminSplitDateTime
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.admin.simulations import SimulationPages
from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows.part_wording import name_part_row
from oscar_loyalty.flows.version_diff import fingerprint, name_part
from oscar_loyalty.flows.versions import (
    Finding,
    HasErrors,
    compare_versions,
    find_replaced,
    lint_version,
    publish_draft,
)
from oscar_loyalty.programmes import services
from oscar_loyalty.programmes.copying import list_parts
from oscar_loyalty.programmes.models import CurrencyRate, ProgrammeVersion
from oscar_loyalty.programmes.queries import list_versions, state_of
from oscar_loyalty.shop.shipping import name_methods
from oscar_loyalty.tiers.models import Tier, TierScheme, TiersOfVersion

State = ProgrammeVersion.State


def can_publish(request: HttpRequest) -> bool:
    return request.user.has_perm("oscar_loyalty.publish_programmeversion")


def say_moment(moment: datetime | None) -> str:
    return date_format(timezone.localtime(moment), "SHORT_DATETIME_FORMAT") if moment else ""


class MomentForm(forms.Form):
    active_from = forms.SplitDateTimeField(
        label=_("In force from"),
        required=False,
        widget=AdminSplitDateTime,
        help_text=_("Empty: at once. Orders placed before that moment keep the version of their time."),
    )
    #: What the page showed: what was changed since is looked at once more.
    seen = forms.CharField(widget=forms.HiddenInput)

    def clean_active_from(self) -> datetime | None:
        moment: datetime | None = self.cleaned_data["active_from"]
        if moment is not None and moment < timezone.now():
            raise forms.ValidationError(_("This moment is over. Leave it empty to start at once."))
        return moment


class VersionPages(SimulationPages, admin.ModelAdmin):  # type: ignore[type-arg]
    """What the admin of versions is made of, beside list and form."""

    def get_urls(self) -> list[URLPattern]:
        views: dict[str, Callable[..., HttpResponse]] = {
            "publish": self.publish_view,
            "unschedule": self.unschedule_view,
            "archive": self.archive_view,
            "restore": self.restore_view,
            "compare": self.compare_view,
            "check": self.check_view,
            "simulate": self.simulate_view,
        }
        return [
            *(
                path(
                    f"<path:object_id>/{name}/",
                    self.admin_site.admin_view(view),
                    name=f"oscar_loyalty_programmeversion_{name}",
                )
                for name, view in views.items()
            ),
            *self.get_simulation_urls(),
            *super().get_urls(),
        ]

    # Coming into force

    def publish_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What would change, what is wrong, and from when on; then the button."""
        version = self.get_version_or_404(request, object_id, allowed=can_publish(request))
        now = timezone.now()
        if self.state_now(version) != State.DRAFT:
            self.message_user(request, _say_no_draft(version), messages.WARNING)
            return to_version(version)
        form = MomentForm(request.POST or None, initial={"seen": fingerprint(version)})
        findings = lint_version(version, now=now)
        if request.method == "POST" and form.is_valid():
            if form.cleaned_data["seen"] != fingerprint(version):
                form.data = {**request.POST.dict(), "seen": fingerprint(version)}
                self.message_user(
                    request,
                    gettext("The draft was changed meanwhile. Look at it once more."),
                    messages.WARNING,
                )
            elif self._published(request, version, form.cleaned_data["active_from"], now=now):
                return to_version(version)
        replaced = find_replaced(version, now=now)
        context = {
            "title": gettext("Put version %(number)s into force") % {"number": version.number},
            "form": form,
            "findings": told(findings),
            "has_errors": any(finding.is_error for finding in findings),
            "changes": compare_versions(replaced, version, name_methods=cache(lambda: name_methods(request))),
            "other": replaced,
        }
        return self.render_page(request, "publish.html", version, context)

    def _published(
        self, request: HttpRequest, version: ProgrammeVersion, moment: datetime | None, *, now: datetime
    ) -> bool:
        try:
            published = publish_draft(version_id=version.pk, active_from=moment, now=now)
        except HasErrors:
            return False  # the page shows them
        except services.NotADraft:
            version.refresh_from_db()
            self.message_user(request, _say_no_draft(version), messages.WARNING)
            return True
        except services.MomentTaken:
            text = gettext("Another version comes into force at that moment. Choose another one.")
            self.message_user(request, text, messages.ERROR)
            return False
        self.log_change(request, published, f"in force from {published.active_from:%Y-%m-%d %H:%M}")
        self.message_user(request, say_published(published, now=now), messages.SUCCESS)
        return True

    def unschedule_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        version = self.get_version_or_404(request, object_id, allowed=can_publish(request))

        def unschedule() -> str:
            services.unschedule_version(version_id=version.pk, now=timezone.now())
            return gettext("Version %(number)s is a draft again.") % {"number": version.number}

        question = gettext(
            "Version %(number)s would not come into force on %(moment)s. It becomes a draft again."
        ) % {"number": version.number, "moment": say_moment(version.active_from)}
        return self._step(
            request,
            version,
            unschedule,
            title=gettext("Back to draft"),
            question=question,
            when=State.SCHEDULED,
        )

    def archive_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        version = self.get_version_or_404(request, object_id, allowed=True)
        if not self.has_change_permission(request):
            raise PermissionDenied

        def archive() -> str:
            services.archive_draft(version_id=version.pk, now=timezone.now())
            return gettext("The draft is archived. It can be brought back.")

        question = gettext("Nothing was ever judged by this draft. Archived, it can be brought back.")
        return self._step(
            request, version, archive, title=gettext("Archive the draft"), question=question, when=State.DRAFT
        )

    def restore_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        version = self.get_version_or_404(request, object_id, allowed=True)
        if not self.has_change_permission(request):
            raise PermissionDenied

        def restore() -> str:
            services.restore_draft(version_id=version.pk)
            return gettext("The draft is back.")

        question = gettext("The draft can be edited, simulated and put into force again.")
        return self._step(
            request,
            version,
            restore,
            title=gettext("Bring the draft back"),
            question=question,
            when=State.ARCHIVED if version.archived_at else None,
        )

    def _step(
        self,
        request: HttpRequest,
        version: ProgrammeVersion,
        do: Callable[[], str],
        *,
        title: str,
        question: str,
        when: "ProgrammeVersion.State | None",
    ) -> HttpResponse:
        """A page that asks, and then does it once."""
        if self.state_now(version) != when:
            self.message_user(
                request, gettext("Nothing was done: the version is not in that state."), messages.WARNING
            )
            return to_version(version)
        if request.method == "POST":
            try:
                text = do()
            except (services.VersionInForce, services.NotADraft):
                self.message_user(
                    request,
                    gettext("Nothing was done: the version has come into force meanwhile."),
                    messages.ERROR,
                )
            else:
                self.log_change(request, version, title)
                self.message_user(request, text, messages.SUCCESS)
            return to_version(version)
        return self.render_page(request, "step.html", version, {"title": title, "question": question})

    # Looking

    def compare_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What is different from another version; without a choice from the one it would follow."""
        version = self.get_version_or_404(request, object_id, allowed=True)
        now = timezone.now()
        others = list(list_versions(now=now).filter(programme=version.programme_id).exclude(pk=version.pk))
        wanted = request.GET.get("with", "")
        other = next((one for one in others if str(one.pk) == wanted), None)
        if other is None:
            other = find_replaced(version, now=now)
        choices = [
            (one.pk, f"{one.number} · {state_of(one, is_followed=one.is_followed, now=now).label}")  # type: ignore[attr-defined]
            for one in others
        ]
        context = {
            "title": gettext("Compare version %(number)s") % {"number": version.number},
            "others": choices,
            "other": other,
            "changes": compare_versions(other, version, name_methods=cache(lambda: name_methods(request))),
        }
        return self.render_page(request, "compare.html", version, context)

    def check_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        version = self.get_version_or_404(request, object_id, allowed=True)
        context = {
            "title": gettext("Check version %(number)s") % {"number": version.number},
            "findings": told(lint_version(version, now=timezone.now())),
        }
        return self.render_page(request, "check.html", version, context)

    # What the pages share

    def get_version_or_404(self, request: HttpRequest, object_id: str, *, allowed: bool) -> ProgrammeVersion:
        if not (allowed and self.has_view_permission(request)):
            raise PermissionDenied
        pk = unquote(object_id)
        if not pk.isdecimal():
            raise Http404
        versions = list_versions(now=timezone.now()).select_related("programme")
        version = versions.filter(pk=pk).first()
        if version is None:
            raise Http404
        return version

    def state_now(self, version: ProgrammeVersion) -> ProgrammeVersion.State:
        """The state of a version as :func:`list_versions` reads it."""
        is_followed: bool = version.is_followed  # type: ignore[attr-defined]
        return state_of(version, is_followed=is_followed, now=timezone.now())

    def steps_for(self, request: HttpRequest, version: ProgrammeVersion) -> list[tuple[str, str]]:
        """Addresses and names of what can be done with a version now, by whoever looks at it."""
        state = self.state_now(version)
        may_change = super().has_change_permission(request)
        offered = [
            ("publish", gettext("Put into force"), state == State.DRAFT and can_publish(request)),
            ("unschedule", gettext("Back to draft"), state == State.SCHEDULED and can_publish(request)),
            ("check", gettext("Check"), True),
            ("compare", gettext("Compare"), True),
            ("simulate", gettext("Simulate"), self.can_simulate(request, version)),
            ("archive", gettext("Archive"), state == State.DRAFT and may_change),
            ("restore", gettext("Bring back"), version.archived_at is not None and may_change),
        ]
        steps = [
            (reverse(f"admin:oscar_loyalty_programmeversion_{name}", args=[version.pk]), label)
            for name, label, is_offered in offered
            if is_offered
        ]
        if state != State.ARCHIVED and (preview := _preview_of(request, version)):
            steps.append((preview, gettext("Preview as a member of any tier")))
        return steps

    def parts_of(self, request: HttpRequest, version: ProgrammeVersion) -> list[dict[str, Any]]:
        """What belongs to a version and is edited on pages of its own: how many, and where."""
        is_editable = self.has_change_permission(request, version)
        return [
            {
                "name": capfirst(str(model._meta.verbose_name_plural)),
                "count": model._default_manager.filter(**{key: version}).count(),
                **self._addresses(request, model, key, version, is_editable=is_editable),
            }
            for model, key in list_parts()
            if model is not CurrencyRate
        ]

    def _addresses(
        self,
        request: HttpRequest,
        model: type[Model],
        key: str,
        version: ProgrammeVersion,
        *,
        is_editable: bool,
    ) -> dict[str, str]:
        """Nothing for what has no pages, or none for whoever looks."""
        if model in (Tier, TierScheme):
            # Both are edited on one page, which is the version's own.
            pages = self.admin_site._registry.get(TiersOfVersion)
            if pages is None or not pages.has_view_permission(request):
                return {}
            return {"list": reverse("admin:oscar_loyalty_tiersofversion_change", args=[version.pk])}
        pages = self.admin_site._registry.get(model)
        if pages is None or not pages.has_view_permission(request):
            return {}
        name = f"admin:oscar_loyalty_{model._meta.model_name}"
        addresses = {"list": reverse(f"{name}_changelist") + f"?{key}__id__exact={version.pk}"}
        if is_editable and pages.has_add_permission(request):
            addresses["add"] = reverse(f"{name}_add") + f"?{key}={version.pk}"
        return addresses

    def render_page(
        self, request: HttpRequest, template: str, version: ProgrammeVersion, context: dict[str, Any]
    ) -> HttpResponse:
        shared = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "version": version,
            "media": self.media + context["form"].media if "form" in context else self.media,
        }
        return TemplateResponse(
            request, f"admin/oscar_loyalty/programmeversion/{template}", {**shared, **context}
        )


def to_version(version: ProgrammeVersion) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:oscar_loyalty_programmeversion_change", args=[version.pk]))


def told(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Findings with the name and the page of what they are about."""
    return [
        {
            "is_error": finding.is_error,
            "text": finding.text,
            "about": name_part(
                capfirst(str(finding.object._meta.verbose_name)), name_part_row(finding.object)
            )
            if not isinstance(finding.object, ProgrammeVersion)
            else "",
            "url": _page_of(finding.object),
        }
        for finding in findings
    ]


def say_published(version: ProgrammeVersion, *, now: datetime) -> str:
    assert version.active_from is not None
    if version.active_from <= now:
        return gettext("Version %(number)s is in force.") % {"number": version.number}
    return gettext("Version %(number)s comes into force on %(moment)s.") % {
        "number": version.number,
        "moment": say_moment(version.active_from),
    }


def _say_no_draft(version: ProgrammeVersion) -> str:
    if version.active_from is None:
        return gettext("Version %(number)s is archived. Bring it back first.") % {"number": version.number}
    return gettext("Version %(number)s is no draft any more: it is in force from %(moment)s.") % {
        "number": version.number,
        "moment": say_moment(version.active_from),
    }


def _page_of(row: Model) -> str:
    try:
        return reverse(f"admin:oscar_loyalty_{row._meta.model_name}_change", args=[row.pk])
    except NoReverseMatch:
        return ""


def _preview_of(request: HttpRequest, version: ProgrammeVersion) -> str:
    """The dashboard's page that shows a version to staff; empty in a shop without it, or for others."""
    may_see = request.user.has_perms(["oscar_loyalty.view_member", "oscar_loyalty.view_tier"])
    if not may_see or version.programme.code != loyalty_settings.programme_code:
        return ""
    try:
        page = reverse("loyalty-dashboard:loyalty-tier-preview")
    except NoReverseMatch:
        return ""
    return f"{page}?version={version.number}"
