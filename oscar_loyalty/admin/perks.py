"""Perks of tiers and of single members: a form for each kind, made from its details, and said in words."""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from oscar.core.loading import get_model

from oscar_loyalty.admin.choices import TierFilter
from oscar_loyalty.admin.parameter_forms import PARAMETER, ParametersForm, readable_ranges
from oscar_loyalty.admin.parts import PartOfVersionMixin
from oscar_loyalty.admin.read_only import ReadOnlyAdmin
from oscar_loyalty.members.models import Member
from oscar_loyalty.programmes.queries import get_programme, is_editable, list_editable_versions
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.shop.customers import search_members
from oscar_loyalty.tiers.models import OrderPerks, PerkGrant, PerkUse, ProductAccess, Tier, TierPerk
from oscar_loyalty.tiers.perk_services import GrantOver, grant_perk, revoke_grant
from oscar_loyalty.tiers.perks import (
    LimitNotCounted,
    check_limit,
    describe_perk,
    perks,
)
from oscar_loyalty.tiers.queries import name_of


class DetailsForm(ParametersForm):
    """The model's own fields, and one for each detail of ``kind``."""

    kind_code = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.kind_code:
            self.add_parameters(perks.get(self.kind_code))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        cleaned["parameters"] = self.read_parameters(perks.get(self.kind_code), cleaned)
        for name in {"uses_allowed", "uses_per_period"} & cleaned.keys():
            try:
                check_limit(perks.get(self.kind_code), uses=cleaned[name])
            except LimitNotCounted as error:
                self.add_error(name, str(error))
        return cleaned


def make_form(base: type[DetailsForm], kind_code: str) -> type[DetailsForm]:
    """The form of one kind."""
    return type("KindForm", (base,), {"kind_code": kind_code})


class KindFilter(admin.SimpleListFilter):
    """Kinds by the names that staff know."""

    title = _("perk")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(kind.code, capfirst(kind.label)) for kind in perks]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class PerkAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What both have in common: the kind is chosen first, and decides on the form."""

    base_form: type[DetailsForm] = DetailsForm
    add_form_template = change_form_template = "admin/oscar_loyalty/perk/change_form.html"

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if self.has_add_permission(request) and self._kind(request, None) is None:
            return TemplateResponse(
                request,
                "admin/oscar_loyalty/perk/choose_kind.html",
                {
                    **self.admin_site.each_context(request),
                    "opts": self.opts,
                    "title": gettext("Which perk?"),
                    "kinds": [(kind.code, capfirst(kind.label)) for kind in perks],
                },
            )
        return super().add_view(request, form_url, extra_context)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kind = self._kind(request, obj)
        if kind is not None:
            kwargs["form"] = make_form(self.base_form, kind)
            kwargs["fields"] = [*self.own_fields(obj)]
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        code = self._kind(request, obj)
        if code is None or not self._may_edit(request, obj):
            return [(None, {"fields": [*(["sentence"] if obj else []), *self.own_fields(obj)]})]
        kind = perks.get(code)
        details = [f"{PARAMETER}{detail.name}" for detail in kind.parameters]
        return [(None, {"fields": self.own_fields(obj)}), (capfirst(kind.label), {"fields": details})]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        form, perk = context["adminform"].form, context.get("original")
        context["is_editable"] = self._may_edit(request, perk) and isinstance(form, self.base_form)
        if context["is_editable"]:
            context["is_previewed"] = "_preview" in request.POST and not context["errors"]
            if context["is_previewed"]:
                context["sentence"] = describe_perk(form.kind_code, form.cleaned_data["parameters"])
            elif perk is not None and not context["errors"]:
                context["sentence"] = self.sentence(perk)
        return super().render_change_form(request, context, *args, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["sentence"]

    def own_fields(self, obj: Any) -> list[str]:
        raise NotImplementedError

    def _may_edit(self, request: HttpRequest, obj: Any) -> bool:
        return self.has_change_permission(request, obj) if obj else self.has_add_permission(request)

    def _kind(self, request: HttpRequest, obj: Any) -> str | None:
        code = obj.kind if obj is not None else request.GET.get("kind", "")
        return code if code in perks else None

    @admin.display(description=_("what the customer reads"))
    def sentence(self, perk: Any) -> str:
        return describe_perk(perk.kind, perk.parameters) or gettext(
            "Nothing: no kind of perk has this code, or its details cannot be read."
        )

    @admin.display(description=_("perk"), ordering="kind")
    def kind_name(self, perk: Any) -> str:
        kind = perks.find(perk.kind)
        return capfirst(kind.label) if kind is not None else str(perk.kind)


class TierPerkForm(DetailsForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "version" in self.fields:
            versions: Any = self.fields["version"]
            versions.queryset = list_editable_versions(now=timezone.now())
            versions.help_text = gettext("Only versions that are not in force yet change.")
        if "tier_code" in self.fields:
            tiers = Tier.objects.filter(version__in=list_editable_versions(now=timezone.now()))
            names = {
                tier.code: f"{name_of(tier)} ({tier.code})"
                for tier in tiers.order_by("-version__number", "-rank")
            }
            self.fields["tier_code"].widget = forms.Select(choices=[("", "---------"), *names.items()])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        version, tier_code = cleaned.get("version"), cleaned.get("tier_code")
        if version and tier_code and not Tier.objects.filter(version=version, code=tier_code).exists():
            self.add_error("tier_code", gettext("This version has no such tier."))
        if (
            version
            and TierPerk.objects.filter(version=version, tier_code=tier_code, kind=self.kind_code)
            .exclude(pk=self.instance.pk)
            .exists()
        ):
            self.add_error(None, gettext("The tier has this perk already."))
        return cleaned


@admin.register(TierPerk)
class TierPerkAdmin(PartOfVersionMixin, PerkAdmin):
    base_form = TierPerkForm
    list_display = ["tier_name", "kind_name", "sentence", "version", "uses_per_period"]
    list_filter = [TierFilter, KindFilter, "version"]
    search_fields = ["tier_code", "kind"]
    list_select_related = ["version__programme"]

    def own_fields(self, obj: Any) -> list[str]:
        return ["version", "tier_code", "uses_per_period"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[TierPerk]:
        rows = super().get_queryset(request).prefetch_related("version__tiers")
        return rows.order_by("-version__number", "tier_code", "kind")

    @admin.display(description=_("tier"), ordering="tier_code")
    def tier_name(self, perk: TierPerk) -> str:
        tiers = perk.version.tiers.all()
        return next((name_of(tier) for tier in tiers if tier.code == perk.tier_code), perk.tier_code)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or _is_open(obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or _is_open(obj))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.kind, obj.parameters = form.kind_code, form.cleaned_data["parameters"]
        super().save_model(request, obj, form, change)


def _is_open(perk: TierPerk) -> bool:
    """Whether its version may still be changed."""
    return is_editable(perk.version, now=timezone.now())


class GrantForm(DetailsForm):
    reason = forms.CharField(
        label=_("Reason"), max_length=200, widget=forms.TextInput({"class": "vTextField"})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "active_to" in self.fields:
            self.fields["active_to"].required = False
            self.fields["active_to"].help_text = gettext("Empty: without an end.")


class RevokeForm(DetailsForm):
    """All that can be done with a grant that was given."""

    take_back = forms.BooleanField(label=_("Take it back"), required=False)
    take_back_reason = forms.CharField(
        label=_("Why"), max_length=100, required=False, widget=forms.TextInput({"class": "vTextField"})
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = self.cleaned_data
        if cleaned.get("take_back") and not cleaned.get("take_back_reason"):
            self.add_error("take_back_reason", gettext("Say why."))
        return cleaned


@admin.register(PerkGrant)
class PerkGrantAdmin(PerkAdmin):
    """Given and taken back through the services, with a reason; never changed or deleted."""

    base_form = GrantForm
    list_display = ["member", "kind_name", "sentence", "active_from", "ends", "uses_allowed", "state"]
    list_filter = [KindFilter, "active_from", "revoked_at"]
    list_select_related = ["member__user"]
    search_fields = ["reason"]
    search_help_text = _("Member (name, e-mail address, public id), reason, or where it came from")
    raw_id_fields = ["member"]
    date_hierarchy = "active_from"

    def get_queryset(self, request: HttpRequest) -> QuerySet[PerkGrant]:
        return super().get_queryset(request).order_by("-pk")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[PerkGrant], search_term: str
    ) -> tuple[QuerySet[PerkGrant], bool]:
        if not search_term:
            return queryset, False
        members = search_members(Member.objects.all(), term=search_term)
        by_text = Q(reason__icontains=search_term) | Q(source_ref=search_term)
        return queryset.filter(by_text | Q(member__in=members.values("pk"))), False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        now = timezone.now().replace(microsecond=0)
        return {"active_from": now, "active_to": None, **super().get_changeform_initial_data(request)}

    def own_fields(self, obj: Any) -> list[str]:
        if obj is None:
            return ["member", "active_from", "active_to", "uses_allowed", "reason"]
        return [
            "member",
            "kind_name",
            "active_from",
            "ends",
            "uses_allowed",
            "source_ref",
            "reason",
            "state",
        ]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            return super().get_form(request, obj, change=change, **kwargs)
        kwargs["form"] = RevokeForm
        kwargs["fields"] = []
        return admin.ModelAdmin.get_form(self, request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return super().get_fieldsets(request, obj)
        may_revoke = self.has_change_permission(request, obj) and _is_running(obj)
        shown = [
            "sentence",
            *self.own_fields(obj),
            *(["take_back", "take_back_reason"] if may_revoke else []),
        ]
        return [(None, {"fields": shown})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["sentence", *(self.own_fields(obj) if obj else [])]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        return form.instance

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        now = timezone.now()
        if change:
            if form.cleaned_data["take_back"]:
                try:
                    revoke_grant(grant_id=obj.pk, reason=form.cleaned_data["take_back_reason"], now=now)
                except GrantOver:
                    self.message_user(request, gettext("It has ended already."), level="WARNING")
            return
        given = form.cleaned_data
        granted = grant_perk(
            programme_id=get_programme().pk,
            member_id=given["member"].pk,
            kind=form.kind_code,
            parameters=given["parameters"],
            active_from=given["active_from"],
            active_to=given["active_to"] or FAR_FUTURE,
            uses_allowed=given["uses_allowed"],
            source_ref=f"user:{request.user.pk}",
            reason=given["reason"],
            now=now,
        )
        obj.pk, obj.public_id, obj.kind = granted.pk, granted.public_id, granted.kind

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """There is nothing more than the row."""

    @admin.display(description=_("until"), ordering="active_to")
    def ends(self, grant: PerkGrant) -> Any:
        return gettext("no expiry") if grant.active_to >= FAR_FUTURE else grant.active_to

    @admin.display(description=_("state"))
    def state(self, grant: PerkGrant) -> str:
        if grant.revoked_at is not None:
            return gettext("taken back")
        now = timezone.now()
        if grant.active_to <= now:
            return gettext("over")
        return gettext("in force") if grant.active_from <= now else gettext("planned")


def _is_running(grant: PerkGrant) -> bool:
    return grant.revoked_at is None and grant.active_to > timezone.now()


@admin.register(PerkUse)
class PerkUseAdmin(ReadOnlyAdmin):
    list_display = ["used_at", "member", "kind", "order_ref", "saved", "currency", "undone_at"]
    list_filter = ["kind", "used_at"]
    list_select_related = ["member__user"]
    search_fields = ["order_ref__exact"]
    search_help_text = _("Order number")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PerkUse]:
        return super().get_queryset(request).order_by("-pk")


@admin.register(OrderPerks)
class OrderPerksAdmin(ReadOnlyAdmin):
    list_display = ["frozen_at", "order_ref", "member", "tier_code"]
    list_select_related = ["member__user"]
    search_fields = ["order_ref__exact"]
    search_help_text = _("Order number")
    fields = ["order_ref", "member", "tier_code", "version_number", "frozen_at", "promised"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrderPerks]:
        return super().get_queryset(request).order_by("-pk")

    @admin.display(description=_("what was promised"))
    def promised(self, frozen: OrderPerks) -> str:
        return "; ".join(_sentences(frozen)) or "—"


def _sentences(frozen: OrderPerks) -> Iterator[str]:
    for perk in frozen.perks:
        yield describe_perk(perk["kind"], perk["parameters"]) or perk["kind"]


class AccessForm(forms.ModelForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["range"].queryset = readable_ranges()  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        product, category = cleaned.get("product_id"), cleaned.get("category_id")
        if sum(map(bool, (product, category, cleaned.get("range")))) != 1:
            raise forms.ValidationError(gettext("Name a product, a category or a range, one of them."))
        for model, field, pk in (("Product", "product_id", product), ("Category", "category_id", category)):
            if pk and not get_model("catalogue", model).objects.filter(pk=pk).exists():
                self.add_error(field, gettext("There is none with this number."))
        return cleaned


@admin.register(ProductAccess)
class ProductAccessAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = AccessForm
    list_display = ["__str__", "product_id", "category_id", "range", "opens_at", "note"]
    list_select_related = ["range"]
    search_fields = ["product_id__exact", "category_id__exact", "range__name", "note"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProductAccess]:
        return super().get_queryset(request).order_by("-pk")
