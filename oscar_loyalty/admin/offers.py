"""Bonus points that offers of the shop give: made here, chosen in Oscar's offer dashboard."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from oscar.core.loading import get_model

from oscar_loyalty.admin.read_only import ReadOnlyAdmin
from oscar_loyalty.shop.bonus_models import MOST_POINTS, OfferBonus, OrderBonus
from oscar_loyalty.shop.bonus_offers import BonusBenefit, find_bonus, list_benefits
from oscar_loyalty.shop.offers import BONUS_BENEFIT


class BonusForm(forms.ModelForm):  # type: ignore[type-arg]
    """The fields of :class:`OfferBonus`, saved together with Oscar's row."""

    class Meta:
        model = BonusBenefit
        fields: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bonus = find_bonus(self.instance.pk) or OfferBonus()
        names = ["points", "once_per_order", "text_de", "text_en"]
        self.fields.update(forms.fields_for_model(OfferBonus, fields=names))
        # The limits of the model are not asked for: it is not the model of this form.
        self.fields["points"] = forms.IntegerField(
            label=self.fields["points"].label, min_value=1, max_value=MOST_POINTS
        )
        if self.bonus.pk:
            self.initial = {**forms.model_to_dict(self.bonus, fields=names), **self.initial}

    def save_bonus(self, benefit: Any) -> None:
        for name, value in self.cleaned_data.items():
            setattr(self.bonus, name, value)
        self.bonus.benefit_ref = benefit.pk
        self.bonus.save()


@admin.register(BonusBenefit)
class BonusBenefitAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = BonusForm
    list_display = ["name", "offers"]
    ordering = ["-pk"]
    fieldsets = [
        (
            None,
            {
                "fields": ["points", "once_per_order", "text_de", "text_en"],
                "description": _(
                    "Save this, then choose it in the dashboard under “Offers” as a custom incentive. Orders "
                    "that were placed keep what they were promised, whatever you change here."
                ),
            },
        )
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = list_benefits()
        return found.order_by("-pk")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        # The fields are not those of Oscar's row, where Django would look for them.
        kwargs["fields"] = []
        return super().get_form(request, obj, change=change, **kwargs)

    @admin.display(description=_("used by"))
    def offers(self, benefit: Any) -> str:
        used = get_model("offer", "ConditionalOffer").objects.filter(benefit_id=benefit.pk)
        return ", ".join(used.order_by("name").values_list("name", flat=True)) or "—"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        with transaction.atomic():
            obj.proxy_class = BONUS_BENEFIT
            super().save_model(request, obj, form, change)
            form.save_bonus(obj)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            OfferBonus.objects.filter(benefit_ref=obj.pk).delete()
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with transaction.atomic():
            OfferBonus.objects.filter(benefit_ref__in=list(queryset.values_list("pk", flat=True))).delete()
            super().delete_queryset(request, queryset)


@admin.register(OrderBonus)
class OrderBonusAdmin(ReadOnlyAdmin):
    list_display = ["order_ref", "offer_name", "points", "times", "made_at"]
    search_fields = ["order_ref__exact", "offer_name"]
    ordering = ["-id"]
    show_full_result_count = False
