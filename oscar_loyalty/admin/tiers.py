"""Tiers of a version, edited until it comes into force; where members stand, which nobody types in."""

from itertools import pairwise
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.admin.choices import TierFilter
from oscar_loyalty.admin.parts import PartOfVersionMixin
from oscar_loyalty.admin.read_only import ReadOnlyAdmin
from oscar_loyalty.flows import tier_wording
from oscar_loyalty.programmes.queries import is_editable
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.shop.configuration import is_currency
from oscar_loyalty.tiers import services
from oscar_loyalty.tiers.models import (
    QualifyingEntry,
    Tier,
    TierChange,
    TierOverride,
    TierScheme,
    TiersOfVersion,
    TierStatus,
)
from oscar_loyalty.tiers.queries import find_tier_table_of, name_of


class _PartOfVersion(admin.options.InlineModelAdmin):  # type: ignore[type-arg]
    """Whoever may change the tiers of a version decides on all of them."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "view") or self._may(request, "change")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "change")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, "change")

    @staticmethod
    def _may(request: HttpRequest, action: str) -> bool:
        return request.user.has_perm(f"oscar_loyalty.{action}_tiersofversion")


class SchemeForm(forms.ModelForm):  # type: ignore[type-arg]
    def has_changed(self) -> bool:
        # Whoever writes tiers and leaves all of this as it is has decided on it.
        has_tiers = any(
            value and name.startswith("tiers-") and name.endswith("-code")
            for name, value in self.data.items()
        )
        return super().has_changed() or (self.instance.pk is None and has_tiers)

    def clean_currency(self) -> str:
        code = str(self.cleaned_data["currency"]).strip().upper()
        if not is_currency(code):
            raise forms.ValidationError(
                _("“%(code)s” is not a currency code. Example: EUR."), params={"code": code}
            )
        return code

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        months = cleaned.get("period_months")
        if cleaned.get("period") == TierScheme.Period.CALENDAR and months not in (None, 12):
            self.add_error("period_months", _("A calendar year has 12 months."))
        return cleaned


class SchemeInline(_PartOfVersion, admin.StackedInline):  # type: ignore[type-arg]
    model = TierScheme
    form = SchemeForm
    extra = 1
    max_num = 1


class TierFormSet(forms.BaseInlineFormSet):  # type: ignore[type-arg]
    def get_unique_error_message(self, unique_check: Any) -> str:
        if "rank" in unique_check:
            return gettext("Two tiers have the same rank.")
        return gettext("Two tiers have the same code.")

    def clean(self) -> None:
        super().clean()
        rows = [
            form.cleaned_data
            for form in self.forms
            if getattr(form, "cleaned_data", None) and not form.cleaned_data.get("DELETE")
        ]
        names = ("rank", "entry_threshold", "keep_threshold")
        if not rows or any(row.get(name) is None for row in rows for name in names):
            return
        rows.sort(key=lambda row: int(row["rank"]))
        if [row["rank"] for row in rows] != list(range(1, len(rows) + 1)):
            raise forms.ValidationError(_("Ranks are 1, 2, 3 … without a gap."))
        for below, above in pairwise(rows):
            if above["entry_threshold"] <= below["entry_threshold"]:
                raise forms.ValidationError(
                    _("“%(above)s” must take more than “%(below)s” to be reached."),
                    params={"above": above["name_en"], "below": below["name_en"]},
                )
            if above["keep_threshold"] < below["keep_threshold"]:
                raise forms.ValidationError(
                    _("“%(above)s” must not be kept with less than “%(below)s”."),
                    params={"above": above["name_en"], "below": below["name_en"]},
                )


class TierForm(forms.ModelForm):  # type: ignore[type-arg]
    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        entry, keep = cleaned.get("entry_threshold"), cleaned.get("keep_threshold")
        if entry is not None and keep is not None and keep > entry:
            self.add_error("keep_threshold", _("Not more than what it is reached with."))
        return cleaned


class TierInline(_PartOfVersion, admin.TabularInline):  # type: ignore[type-arg]
    model = Tier
    form = TierForm
    formset = TierFormSet
    ordering = ["rank"]

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """Rows to begin with, also without JavaScript."""
        return 1 if obj is not None and obj.tiers.exists() else 3


@admin.register(TiersOfVersion)
class TiersOfVersionAdmin(PartOfVersionMixin, admin.ModelAdmin):  # type: ignore[type-arg]
    """The version itself is published and edited elsewhere; here are its tiers."""

    class Media:
        css = {"all": ["oscar_loyalty/admin/loyalty.css"]}

    inlines = [SchemeInline, TierInline]
    list_display = ["number", "programme", "active_from", "tier_names"]
    list_display_links = ["number", "programme"]
    list_select_related = ["programme"]
    ordering = ["programme", "-number"]
    fields = ["programme", "number", "active_from", "in_words"]
    readonly_fields = ["programme", "number", "active_from", "in_words"]

    def version_id_of(self, part: Any) -> int:
        return int(part.pk)

    def get_queryset(self, request: HttpRequest) -> QuerySet[TiersOfVersion]:
        return super().get_queryset(request).select_related("tier_scheme").prefetch_related("tiers")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (
            obj is None or is_editable(obj, now=timezone.now())
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_inline_instances(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        inlines = super().get_inline_instances(request, obj)
        if obj is not None and not is_editable(obj, now=timezone.now()):
            for inline in inlines:
                # What is in force is only read.
                for action in ("add", "change", "delete"):
                    setattr(inline, f"has_{action}_permission", lambda *_args, **_kwargs: False)
        return inlines

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        version = form.instance
        if version.tiers.exists() and not TierScheme.objects.filter(version_id=version.pk).exists():
            messages.warning(request, gettext("These tiers do nothing until you say how they are reached."))

    @admin.display(description=_("tiers"))
    def tier_names(self, version: TiersOfVersion) -> str:
        tiers = sorted(version.tiers.all(), key=lambda tier: tier.rank)
        return ", ".join(name_of(tier) for tier in tiers) or "—"

    @admin.display(description=_("in words"))
    def in_words(self, version: TiersOfVersion) -> SafeString | str:
        table = find_tier_table_of(version)
        if table is None:
            return gettext("This version has no tiers.")
        said = [tier_wording.preview_sentence(table), *tier_wording.rules_sentences(table)]
        return format_html_join("", "<p>{}</p>", ((one,) for one in said))


class _OfMember(ReadOnlyAdmin):
    list_select_related = ["member__user"]
    search_fields = ["member__public_id__exact"]
    search_help_text = _("Public id of the member")
    show_full_result_count = False
    ordering = ["-id"]


@admin.register(TierStatus)
class TierStatusAdmin(_OfMember):
    list_display = ["member", "tier_code", "since", "counted", "lost"]
    list_filter = [TierFilter]

    @admin.display(description=_("Counts today"), ordering="qualified")
    def counted(self, status: TierStatus) -> Any:
        return status.qualified

    @admin.display(description=_("lost"), ordering="lost_at")
    def lost(self, status: TierStatus) -> Any:
        return gettext("never") if status.lost_at >= FAR_FUTURE else status.lost_at


@admin.register(TierChange)
class TierChangeAdmin(_OfMember):
    list_display = ["changed_at", "member", "from_code", "to_code", "reason", "order_ref"]
    list_filter = ["reason"]
    search_fields = ["member__public_id__exact", "order_ref__exact"]
    search_help_text = _("Public id of the member or number of the order")


@admin.register(QualifyingEntry)
class QualifyingEntryAdmin(_OfMember):
    list_display = ["occurred_at", "member", "order_ref", "points", "spend", "currency", "orders"]
    search_fields = ["member__public_id__exact", "order_ref__exact"]
    search_help_text = _("Public id of the member or number of the order")


@admin.register(TierOverride)
class TierOverrideAdmin(_OfMember):
    list_display = ["member", "tier_code", "active_from", "active_to", "ended_at", "given_by_ref", "reason"]
    list_filter = [TierFilter]
    actions = ["end_now"]

    def has_override_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("oscar_loyalty.override_tier")

    @admin.action(description=_("End selected tiers given by staff"), permissions=["override"])
    def end_now(self, request: HttpRequest, queryset: QuerySet[TierOverride]) -> None:
        now = timezone.now()
        running = queryset.filter(Q(ended_at=None), active_to__gt=now).order_by("pk")
        ended = [services.end_override(override_id=override.pk, now=now) for override in running]
        text = ngettext("%(count)s was ended.", "%(count)s were ended.", len(ended))
        messages.success(request, text % {"count": len(ended)})
