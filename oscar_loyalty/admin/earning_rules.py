"""Earning rules of a version: written in a form of their kind, read back in plain words before they count."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.admin import rule_forms
from oscar_loyalty.admin.parameter_forms import PARAMETER
from oscar_loyalty.admin.parts import PartOfVersionMixin
from oscar_loyalty.admin.read_only import ReadOnlyAdmin
from oscar_loyalty.admin.rule_forms import CONDITION, CONDITION_GROUPS, RuleForm
from oscar_loyalty.earning import services
from oscar_loyalty.earning.conditions import InvalidConditions, read_conditions
from oscar_loyalty.earning.models import EarningRule, RuleBudget
from oscar_loyalty.flows.part_wording import say_rule
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.programmes.queries import is_editable, list_editable_versions
from oscar_loyalty.registry import earning_rules


class KindFilter(admin.SimpleListFilter):
    """Kinds by the names that staff know."""

    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(kind.code, kind.label) for kind in earning_rules]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(EarningRule)
class EarningRuleAdmin(PartOfVersionMixin, admin.ModelAdmin):  # type: ignore[type-arg]
    form = RuleForm
    change_form_template = "admin/oscar_loyalty/earningrule/change_form.html"

    class Media:
        css = {"all": ["oscar_loyalty/admin/loyalty.css"]}

    list_display = ["name", "code", "says", "occasion", "position", "version"]
    list_filter = ["version", KindFilter, "occasion"]
    list_select_related = ["version__programme"]
    search_fields = ["name", "code", "text_de", "text_en"]
    ordering = ["-version__number", "position", "pk"]

    # Who may do what: as with the version itself, until it comes into force

    def has_change_permission(self, request: HttpRequest, obj: EarningRule | None = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or is_editable(obj.version, now=timezone.now()))

    def has_delete_permission(self, request: HttpRequest, obj: EarningRule | None = None) -> bool:
        # Only one by one, so that a list never deletes what orders are judged by.
        allowed = super().has_delete_permission(request, obj)
        return allowed and obj is not None and is_editable(obj.version, now=timezone.now())

    def get_readonly_fields(self, request: HttpRequest, obj: EarningRule | None = None) -> list[str]:
        return ["says"] if obj is not None and not self.has_change_permission(request, obj) else []

    # What a page shows

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """First the version and the kind: what there is to fill in depends on both."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        kind = (request.POST or request.GET).get("kind", "")
        version = (request.POST or request.GET).get("version", "")
        if kind not in earning_rules or not version.isdecimal():
            return self._choose(request, version=version)
        found = get_object_or_404(ProgrammeVersion, pk=version)
        if not is_editable(found, now=timezone.now()):
            raise PermissionDenied
        return super().add_view(request, form_url, {**(extra_context or {}), "rule_version": found})

    def _choose(self, request: HttpRequest, *, version: str) -> HttpResponse:
        versions = list_editable_versions(now=timezone.now()).select_related("programme")
        versions = versions.order_by("programme", "-number")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("What kind of rule?"),
            "kinds": list(earning_rules),
            "versions": versions,
            "chosen": version,
        }
        return TemplateResponse(request, "admin/oscar_loyalty/earningrule/choose.html", context)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = dict(super().get_changeform_initial_data(request))
        kind = earning_rules.find(str(initial.get("kind", "")))
        return {"qualifies": bool(kind and kind.qualifies), **initial}

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        # Fields of kinds and conditions are no columns of the table, which the admin would look for.
        kwargs["fields"] = rule_forms.COLUMNS
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: EarningRule | None = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return [(None, {"fields": ["version", "code", "name", "says", "occasion", "position"]})]
        code = (request.POST or request.GET).get("kind", "") if obj is None else obj.kind
        kind = earning_rules.find(code)
        gives = [PARAMETER + one.name for one in kind.parameters] if kind is not None else []
        return [
            (None, {"fields": ["version", "kind", "name", "code", "text_de", "text_en"]}),
            (
                capfirst(kind.label) if kind is not None else rule_forms.unknown_kind_text(code),
                {"fields": gives},
            ),
            (_("When"), {"fields": ["occasion", "event_code"]}),
            *((title, {"fields": [CONDITION + name for name in names]}) for title, names in CONDITION_GROUPS),
            (
                _("Limits"),
                {
                    "fields": [
                        *("cap_order_points", "cap_member_points", "cap_member_period", "budget_points"),
                        *("exclusion_group", "position", "qualifies"),
                    ]
                },
            ),
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        form = context["adminform"].form
        rule = form.instance
        context["is_editable"] = rule.pk is None or self.has_change_permission(request, rule)
        context["is_previewed"] = "_preview" in request.POST and not context["errors"]
        context["sentence"] = self._sentence(rule) if not context["errors"] and rule.code else ""
        if rule.pk and context["is_editable"]:
            self._fill_hours(form, rule)
        return super().render_change_form(request, context, *args, **kwargs)

    @staticmethod
    def _fill_hours(form: Any, rule: EarningRule) -> None:
        try:
            hours = rule_forms.hours_as_initial(read_conditions(rule.conditions))
        except InvalidConditions:
            return
        for name, value in hours.items():
            form.fields[CONDITION + name].initial = value

    @admin.display(description=_("says"))
    def says(self, rule: EarningRule) -> str:
        return self._sentence(rule)

    def _sentence(self, rule: EarningRule) -> str:
        return say_rule(rule) or rule_forms.unknown_kind_text(rule.kind)

    def get_queryset(self, request: HttpRequest) -> QuerySet[EarningRule]:
        rules: QuerySet[EarningRule] = super().get_queryset(request).select_related("version__programme")
        return rules


@admin.register(RuleBudget)
class RuleBudgetAdmin(ReadOnlyAdmin):
    """What rules have given, and which are paused. Pausing and going on are actions."""

    list_display = ["rule_code", "programme", "granted", "paused_at", "paused_reason"]
    list_filter = ["programme", "paused_reason"]
    search_fields = ["rule_code"]
    ordering = ["programme", "rule_code"]
    actions = ["pause", "go_on"]

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("oscar_loyalty.pause_rule")

    @admin.action(description=_("Pause these rules"), permissions=["pause"])
    def pause(self, request: HttpRequest, budgets: QuerySet[RuleBudget]) -> None:
        for budget in budgets:
            services.pause_rule(programme_id=budget.programme_id, code=budget.rule_code, now=timezone.now())
        self.message_user(request, _("The rules give nothing until they go on."))

    @admin.action(description=_("Let these rules go on"), permissions=["pause"])
    def go_on(self, request: HttpRequest, budgets: QuerySet[RuleBudget]) -> None:
        for budget in budgets:
            services.resume_rule(programme_id=budget.programme_id, code=budget.rule_code)
        self.message_user(request, _("The rules go on. One whose budget is used up pauses itself again."))
