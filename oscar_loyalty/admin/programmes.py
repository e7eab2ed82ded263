"""The programme and its versions: drafted, edited until they come into force, then only read."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import FilteredSelectMultiple
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.admin import choices
from oscar_loyalty.admin.preview import describe_version
from oscar_loyalty.admin.version_pages import (
    VersionPages,
    can_publish,
    say_moment,
    say_published,
    to_version,
    told,
)
from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows.versions import HasErrors, lint_version, publish_draft
from oscar_loyalty.programmes import services
from oscar_loyalty.programmes.models import CurrencyRate, Programme, ProgrammeVersion
from oscar_loyalty.programmes.queries import is_editable, list_versions, newest_first, state_of
from oscar_loyalty.shop.configuration import is_currency
from oscar_loyalty.shop.currencies import get_default_currency


class ProgrammeForm(forms.ModelForm):  # type: ignore[type-arg]
    time_zone = forms.ChoiceField(
        label=_("time zone"),
        choices=lambda: [(name, name) for name in sorted(available_timezones())],
        initial="Europe/Berlin",
        help_text=_("Points expire at the end of a day in this time zone."),
    )


@admin.register(Programme)
class ProgrammeAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = ProgrammeForm
    list_display = ["name", "code", "time_zone", "earning_paused", "redemption_paused", "version_today"]
    readonly_fields = ["promise_today", "all_versions"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Programme]:
        versions = list_versions(now=timezone.now()).prefetch_related("rates")
        return super().get_queryset(request).prefetch_related(Prefetch("versions", versions)).order_by("name")

    def get_fieldsets(self, request: HttpRequest, obj: Programme | None = None) -> Any:
        identity = (None, {"fields": ["name", "code", "time_zone"]})
        if obj is None:
            return [identity]
        return [
            (_("Brakes"), {"fields": ["earning_paused", "redemption_paused"]}),
            (_("Promise"), {"fields": ["promise_today", "all_versions"]}),
            identity,
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Programme | None = None) -> list[str]:
        # Settings and the ledger's keys name the programme by its code.
        return [*self.readonly_fields, *(["code"] if obj else [])]

    def has_delete_permission(self, request: HttpRequest, obj: Programme | None = None) -> bool:
        return False

    @admin.display(description=_("in force"))
    def version_today(self, programme: Programme) -> str:
        today = _version_today(programme.versions.all())
        return str(today.number) if today else "—"

    @admin.display(description=_("today"))
    def promise_today(self, programme: Programme) -> SafeString | str:
        today = _version_today(programme.versions.all())
        if today is None:
            return gettext("No version is in force: the programme does nothing.")
        return _as_paragraphs(
            describe_version(today, rates=today.rates.all(), excluded=excluded_names(today))
        )

    @admin.display(description=_("versions"))
    def all_versions(self, programme: Programme) -> SafeString:
        rows = format_html_join(
            "",
            '<p><a href="{}">{}</a> · {}</p>',
            (
                (
                    reverse("admin:oscar_loyalty_programmeversion_change", args=[version.pk]),
                    gettext("version %(number)s") % {"number": version.number},
                    " · ".join(
                        said
                        for said in (
                            str(_state(version).label),
                            say_moment(version.active_from),
                            version.note,
                        )
                        if said
                    ),
                )
                for version in programme.versions.all()
            ),
        )
        add = reverse("admin:oscar_loyalty_programmeversion_add") + f"?programme={programme.pk}"
        return format_html('{}<p><a class="addlink" href="{}">{}</a></p>', rows, add, gettext("New version"))


class RateForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        widgets = {
            "currency": forms.TextInput(attrs={"size": 4, "autocapitalize": "characters"}),
            **dict.fromkeys(
                ("earn_amount", "redeem_amount", "card_minimum"),
                forms.NumberInput(attrs={"class": "vIntegerField", "step": "0.01", "min": "0"}),
            ),
        }
        error_messages = {
            "earn_points": {"min_value": _("Points cannot be negative.")},
        }

    def clean_currency(self) -> str:
        code = str(self.cleaned_data["currency"]).strip().upper()
        if not is_currency(code):
            raise forms.ValidationError(
                _("“%(code)s” is not a currency code. Example: EUR."), params={"code": code}
            )
        return code

    def clean_earn_amount(self) -> Any:
        return self._above_zero("earn_amount")

    def clean_redeem_points(self) -> Any:
        return self._above_zero("redeem_points")

    def clean_redeem_amount(self) -> Any:
        return self._above_zero("redeem_amount")

    def clean_card_minimum(self) -> Any:
        if self.cleaned_data["card_minimum"] < 0:
            raise forms.ValidationError(_("An amount cannot be negative. 0 means: cards take any amount."))
        return self.cleaned_data["card_minimum"]

    def _above_zero(self, name: str) -> Any:
        if self.cleaned_data[name] <= 0:
            raise forms.ValidationError(_("This must be more than zero."))
        return self.cleaned_data[name]


class RateFormSet(forms.BaseInlineFormSet):  # type: ignore[type-arg]
    def get_unique_error_message(self, unique_check: Any) -> str:
        return gettext("Each currency can have one rate.")


def _may(request: HttpRequest, action: str) -> bool:
    return request.user.has_perm(f"oscar_loyalty.{action}_programmeversion")


class RateInline(admin.TabularInline):  # type: ignore[type-arg]
    model = CurrencyRate
    form = RateForm
    formset = RateFormSet
    verbose_name_plural = _("rates: what points are worth")

    # Rates are a part of their version: whoever may publish or edit it decides on them too.

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, "view") or _may(request, "change")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, "add" if obj is None else "change")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, "change")

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        return super().get_formset(request, obj, min_num=1, validate_min=True, **kwargs)

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        base = find_base(request)
        return max(base.rates.count() - 1, 0) if base and request.method == "GET" else 0


class PickList(FilteredSelectMultiple):
    """Two lists side by side; one plain list without JavaScript."""

    def render(self, *args: Any, **kwargs: Any) -> SafeString:
        # The admin's script puts its lists first in the element around them, which would be the label's.
        return format_html('<div class="related-widget-wrapper">{}</div>', super().render(*args, **kwargs))


def pick_categories(help_text: Any) -> forms.TypedMultipleChoiceField:
    """Categories that are left out of something, as whole numbers."""
    return forms.TypedMultipleChoiceField(
        label=_("excluded categories"),
        coerce=int,
        required=False,
        choices=choices.category_choices,
        widget=PickList(_("categories"), is_stacked=False),
        help_text=help_text,
    )


def pick_product_classes(help_text: Any = "") -> forms.TypedMultipleChoiceField:
    """The same of product types."""
    return forms.TypedMultipleChoiceField(
        label=_("excluded product types"),
        coerce=int,
        required=False,
        choices=choices.product_class_choices,
        widget=PickList(_("product types"), is_stacked=False),
        help_text=help_text,
    )


class VersionForm(forms.ModelForm):  # type: ignore[type-arg]
    active_from = forms.SplitDateTimeField(
        label=_("in force from"),
        required=False,
        widget=admin.widgets.AdminSplitDateTime,
        help_text=_("Empty: at once. Orders placed before that moment keep the version of their time."),
    )
    excluded_category_ids = pick_categories(
        _("Their products, and those of the categories below them, earn nothing.")
    )
    excluded_product_class_ids = pick_product_classes(
        _("For example gift cards: what stores value earns when it is spent, not when it is sold.")
    )
    maximum_share_percent = forms.DecimalField(
        label=_("points pay at most (% of goods)"),
        max_digits=5,
        decimal_places=2,
        min_value=Decimal("0.01"),
        max_value=Decimal(100),
        error_messages={
            "min_value": _("Points must be able to pay something: more than 0 %%."),
            "max_value": _("Points cannot pay more than 100 %% of the goods."),
        },
    )
    spendable_status = forms.ChoiceField(
        label=_("spendable from order status"),
        required=False,
        help_text=_("The waiting period starts when an order reaches this status."),
    )

    follows = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.label = capfirst(field.label)
        status = self.fields.get("spendable_status")
        if isinstance(status, forms.ChoiceField):
            stored = self.initial.get("spendable_status") or self.instance.spendable_status
            status.choices = choices.status_choices(stored=stored)

    def is_valid(self) -> bool:
        # "Preview" shows the page again, with what is typed and no error, instead of saving it.
        return super().is_valid() and "_preview" not in self.data

    def clean_active_from(self) -> Any:
        now = timezone.now()
        moment = self.cleaned_data["active_from"]
        if moment is None:
            return now
        if moment < now:
            raise forms.ValidationError(_("This moment is over. Leave it empty to start at once."))
        return moment

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if self.instance.pk is None and cleaned.get("programme"):
            self._require_that_nothing_was_published_meanwhile(cleaned["programme"])
        minimum, step = cleaned.get("minimum_points"), cleaned.get("step_points")
        if minimum and step and minimum % step:
            self.add_error(
                "minimum_points",
                forms.ValidationError(
                    _("The smallest redemption must be a multiple of the step: %(lower)s or %(higher)s."),
                    params={
                        "lower": max(minimum - minimum % step, step),
                        "higher": minimum - minimum % step + step,
                    },
                ),
            )
        return cleaned

    def _require_that_nothing_was_published_meanwhile(self, programme: Programme) -> None:
        """A double click, or two people at once, publish one version. The lock lasts until it is saved."""
        Programme.objects.select_for_update().get(pk=programme.pk)
        latest = find_latest_number(programme.pk)
        if latest != (self.cleaned_data.get("follows") or 0):
            raise forms.ValidationError(
                _(
                    "Version %(number)s was published meanwhile, perhaps by a double click. Look at it "
                    "first; if another one is needed, begin it anew."
                )
                if ProgrammeVersion.objects.filter(
                    programme=programme, number=latest, active_from__isnull=False
                ).exists()
                else _(
                    "Draft %(number)s was made meanwhile, perhaps by a double click. Look at it "
                    "first; if another one is needed, begin it anew."
                ),
                params={"number": latest},
            )


@admin.register(ProgrammeVersion)
class ProgrammeVersionAdmin(VersionPages):
    form = VersionForm
    inlines = [RateInline]
    change_form_template = "admin/oscar_loyalty/programmeversion/change_form.html"
    list_display = ["number", "programme", "active_from", "state", "note", "steps"]
    list_display_links = ["number", "programme"]
    list_filter = ["programme"]
    list_select_related = ["programme"]
    ordering = ["programme", *newest_first()]

    # Who may do what

    def has_change_permission(self, request: HttpRequest, obj: ProgrammeVersion | None = None) -> bool:
        return super().has_change_permission(request, obj) and (
            obj is None or (is_editable(obj, now=timezone.now()) and _may_decide_on(request, obj))
        )

    def has_delete_permission(self, request: HttpRequest, obj: ProgrammeVersion | None = None) -> bool:
        # Only one by one, so that a list never deletes what has come into force.
        return (
            super().has_delete_permission(request, obj)
            and obj is not None
            and _is_deletable(obj)
            and _may_decide_on(request, obj)
        )

    # What a page shows

    def get_fieldsets(self, request: HttpRequest, obj: ProgrammeVersion | None = None) -> Any:
        editable = self.has_change_permission(request, obj) if obj else True
        excluded = (
            ["excluded_category_ids", "excluded_product_class_ids"]
            if editable
            else ["excluded_categories", "excluded_product_types"]
        )
        hidden = [] if obj else ["follows"]
        # A draft comes into force by a step of its own, which shows what would change.
        moment = [] if obj is not None and obj.active_from is None else ["active_from"]
        return [
            (None, {"fields": ["programme", *moment, "note", "terms_version", *hidden]}),
            (_("Earning"), {"fields": ["includes_tax", "includes_shipping", *excluded]}),
            (
                _("Waiting and expiry"),
                {"fields": ["spendable_status", "waiting_days", "expiry_months", "return_grace_days"]},
            ),
            (_("Redeeming"), {"fields": ["minimum_points", "step_points", "maximum_share_percent"]}),
            (_("Members and staff"), {"fields": ["transfers_allowed", "claim_days", "four_eyes_points"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: ProgrammeVersion | None = None) -> list[str]:
        if obj is None:
            return []
        if self.has_change_permission(request, obj):
            return ["programme"]
        return ["excluded_categories", "excluded_product_types"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        base = find_base(request)
        if base is None:
            initial = super().get_changeform_initial_data(request)
            return {"terms_version": "1", **initial}
        fields = [field.name for field in ProgrammeVersion._meta.fields]
        copied = {name: getattr(base, name) for name in fields}
        for name in ("id", "number", "active_from", "archived_at", "note"):
            del copied[name]
        follows = find_latest_number(base.programme_id)
        return {**copied, "programme": base.programme_id, "follows": follows}

    def get_formset_kwargs(self, request: HttpRequest, obj: Any, inline: Any, prefix: str) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().get_formset_kwargs(request, obj, inline, prefix)
        if obj.pk is None and request.method == "GET":
            base = find_base(request)
            rates = base.rates.order_by("currency") if base else []
            kwargs["initial"] = [
                {
                    name: getattr(rate, name)
                    for name in (
                        "currency",
                        "earn_points",
                        "earn_amount",
                        "redeem_points",
                        "redeem_amount",
                        "card_minimum",
                    )
                }
                for rate in rates
            ] or [{"currency": get_default_currency()}]
        return kwargs

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        version = context.get("original")
        form = context["adminform"].form
        context["loyalty_preview"] = self._preview(request, form, context)
        context["is_previewed"] = "_preview" in request.POST and not context["errors"]
        context["can_add"] = self.has_add_permission(request)
        context["is_editable"] = version is None or self.has_change_permission(request, version)
        context["show_save_and_add_another"] = False
        if version is None:
            # The page has buttons of its own: "Save" alone would not say that it comes into force.
            context["can_publish"] = can_publish(request)
        else:
            context["state"] = self.state_now(version)
            context["steps"] = self.steps_for(request, version)
            context["parts"] = self.parts_of(request, version)
        return super().render_change_form(request, context, *args, **kwargs)

    def _preview(self, request: HttpRequest, form: Any, context: dict[str, Any]) -> list[str]:
        if request.method == "POST":
            if context["errors"] or not form.is_bound:
                return []
            rates = [
                CurrencyRate(
                    **{
                        name: value
                        for name, value in rate_form.cleaned_data.items()
                        if name not in ("id", "DELETE", "version")
                    }
                )
                for formset in context["inline_admin_formsets"]
                for rate_form in formset.formset.forms
                if rate_form.cleaned_data.get("currency") and not rate_form.cleaned_data.get("DELETE")
            ]
            version = form.instance
        else:
            version = form.instance if form.instance.pk else find_base(request)
            if version is None:
                return []
            rates = list(version.rates.order_by("currency"))
        return describe_version(version, rates=rates, excluded=excluded_names(version))

    # Writing

    def save_model(self, request: HttpRequest, obj: ProgrammeVersion, form: Any, change: bool) -> None:
        if change:
            services.revise_version(version=obj, now=timezone.now())
        else:
            # The rates follow in the same transaction: the inline saves them.
            base = find_base(request, programme_id=obj.programme_id)
            services.add_draft(version=obj, rates=[], based_on=base)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if change or "_draft" in request.POST or not can_publish(request):
            return
        # Now that it is whole: a version with an error stays a draft.
        with suppress(HasErrors):
            published = publish_draft(
                version_id=form.instance.pk,
                active_from=form.cleaned_data["active_from"],
                now=timezone.now(),
            )
            form.instance.active_from = published.active_from

    def response_add(
        self, request: HttpRequest, obj: ProgrammeVersion, post_url_continue: str | None = None
    ) -> HttpResponse:
        now = timezone.now()
        if obj.active_from is None:
            if "_draft" in request.POST:
                text, level = gettext("Version %(number)s is saved as a draft."), messages.SUCCESS
            elif can_publish(request):
                text, level = (
                    gettext("Version %(number)s is saved as a draft: it has errors."),
                    messages.ERROR,
                )
            else:
                text = gettext(
                    "Version %(number)s is saved as a draft. Somebody with the permission puts it into force."
                )
                level = messages.WARNING
            self.message_user(request, text % {"number": obj.number}, level)
        else:
            self.message_user(request, say_published(obj, now=now), messages.SUCCESS)
        self._say_findings(request, obj, now=now)
        return to_version(obj)

    def response_change(self, request: HttpRequest, obj: ProgrammeVersion) -> HttpResponse:
        self._say_findings(request, obj, now=timezone.now())
        return super().response_change(request, obj)

    def _say_findings(self, request: HttpRequest, version: ProgrammeVersion, *, now: datetime) -> None:
        for finding in told(lint_version(version, now=now)):
            text = ": ".join(said for said in (finding["about"], finding["text"]) if said)
            self.message_user(request, text, messages.ERROR if finding["is_error"] else messages.WARNING)

    # Columns and read-only fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProgrammeVersion]:
        return list_versions(now=timezone.now()).order_by(*self.get_ordering(request))

    @admin.display(description=_("state"))
    def state(self, version: ProgrammeVersion) -> str:
        return str(_state(version).label)

    @admin.display(description=_("steps"))
    def steps(self, version: ProgrammeVersion) -> SafeString:
        """What everybody who sees the list may look at; the version's own page offers the rest."""
        return format_html_join(
            " · ",
            '<a href="{}">{}</a>',
            (
                (reverse(f"admin:oscar_loyalty_programmeversion_{name}", args=[version.pk]), label)
                for name, label in (("compare", gettext("Compare")), ("check", gettext("Check")))
            ),
        )

    @admin.display(description=_("excluded categories"))
    def excluded_categories(self, version: ProgrammeVersion) -> str:
        return ", ".join(_names(version.excluded_category_ids, choices.category_choices())) or "—"

    @admin.display(description=_("excluded product types"))
    def excluded_product_types(self, version: ProgrammeVersion) -> str:
        return ", ".join(_names(version.excluded_product_class_ids, choices.product_class_choices())) or "—"


def find_base(request: HttpRequest, *, programme_id: int | None = None) -> ProgrammeVersion | None:
    """The version that a new one starts from: the one asked for, else the newest published one of the
    programme. With ``programme_id`` only a version of that programme."""
    versions = ProgrammeVersion.objects.select_related("programme")
    based_on, programme = request.GET.get("based_on", ""), request.GET.get("programme", "")
    if programme_id is not None:
        versions = versions.filter(programme_id=programme_id)
    if based_on.isdecimal():
        return versions.filter(pk=based_on).first()
    versions = versions.filter(active_from__isnull=False).order_by("-active_from")
    if programme_id is not None:
        return versions.first()
    if programme.isdecimal():
        return versions.filter(programme_id=programme).first()
    return versions.filter(programme__code=loyalty_settings.programme_code).first()


def find_latest_number(programme_id: int) -> int:
    """The number of a programme's newest version; 0 when it has none."""
    numbers = ProgrammeVersion.objects.filter(programme_id=programme_id).values_list("number", flat=True)
    return max(numbers, default=0)


def excluded_names(version: ProgrammeVersion) -> list[str]:
    """Names of what earns nothing under a version; what is no longer in the catalogue is left out."""
    names = []
    if version.excluded_category_ids:
        names += _names(version.excluded_category_ids, choices.category_choices())
    if version.excluded_product_class_ids:
        names += _names(version.excluded_product_class_ids, choices.product_class_choices())
    return names


def _may_decide_on(request: HttpRequest, version: ProgrammeVersion) -> bool:
    """What has a moment comes into force as it is then, so it takes the permission to publish."""
    return version.active_from is None or can_publish(request)


def _is_deletable(version: ProgrammeVersion) -> bool:
    """Nothing was ever judged by it."""
    return version.active_from is None or version.active_from > timezone.now()


def _names(ids: Iterable[int], known: Iterable[tuple[int, str]]) -> list[str]:
    wanted = set(ids)
    return [name for pk, name in known if pk in wanted]


def _state(version: ProgrammeVersion) -> ProgrammeVersion.State:
    """The state now of a version as :func:`list_versions` reads it."""
    is_followed: bool = version.is_followed  # type: ignore[attr-defined]
    return state_of(version, is_followed=is_followed, now=timezone.now())


def _version_today(versions: Iterable[ProgrammeVersion]) -> ProgrammeVersion | None:
    """The version in force, if there is one."""
    return next((one for one in versions if _state(one) == ProgrammeVersion.State.LIVE), None)


def _as_paragraphs(sentences: Iterable[str]) -> SafeString:
    return format_html_join("", "<p>{}</p>", ((sentence,) for sentence in sentences))
