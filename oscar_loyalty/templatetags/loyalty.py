"""
``{% load loyalty %}``: what a theme needs to show points. See ``storefront/README.md``.

With the app switched off, without a programme or outside a request every tag renders nothing.
"""

import functools
import logging
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from babel.numbers import format_decimal
from django import forms, template
from django.conf import settings
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext, to_locale
from django.utils.translation import gettext_lazy as _

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.delivery.queries import find_promise
from oscar_loyalty.delivery.texts import describe_promise, name_day
from oscar_loyalty.flows import tier_wording
from oscar_loyalty.flows.causes import with_causes
from oscar_loyalty.flows.claims import find_waiting_points
from oscar_loyalty.flows.earning import EarnPreview, Situation, preview_each, preview_under_policy
from oscar_loyalty.flows.history import read_lines
from oscar_loyalty.flows.receipts import find_order_points
from oscar_loyalty.flows.redemption import Redemption, get_redemption
from oscar_loyalty.flows.wording import add_up, describe_parts, list_parts, name_occasion
from oscar_loyalty.points import queries as points
from oscar_loyalty.points.rules import value_of
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.rules import FAR_FUTURE, Policy
from oscar_loyalty.shop import carriers
from oscar_loyalty.shop.baskets import get_basket_lines, get_currency
from oscar_loyalty.shop.channels import find_channel
from oscar_loyalty.shop.currencies import get_default_currency
from oscar_loyalty.shop.offers import translate_offer_name
from oscar_loyalty.shop.products import fetch_stock_records, get_product_lines
from oscar_loyalty.tiers.models import Tier
from oscar_loyalty.tiers.progress import Progress
from oscar_loyalty.tiers.queries import find_held_tier, name_of

logger = logging.getLogger(__name__)
register = template.Library()


class _Page:
    """What one page needs to know, read once however many hints it shows."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.now = timezone.now()
        self._policies: dict[str, Policy | None] = {}
        self._hints: dict[int, EarnPreview | None] = {}
        self._redemption: tuple[Any, Redemption] | None = None

    @classmethod
    def of(cls, context: template.Context) -> "_Page | None":
        """The page that is being rendered; ``None`` when nothing is to be shown on it."""
        request = context.get("request")
        if request is None or not loyalty_settings.enabled or not _is_mounted():
            return None
        page = getattr(request, "_loyalty_page", None)
        if page is None:
            page = request._loyalty_page = cls(request)
        return page

    def find_policy(self, currency: str) -> Policy | None:
        if currency not in self._policies:
            self._policies[currency] = programmes.find_policy(currency=currency, at=self.now)
        return self._policies[currency]

    @property
    def redemption(self) -> Redemption:
        """Of the basket that the request has now: Oscar puts a new one in its place after a change."""
        basket = self.request.basket
        if self._redemption is None or self._redemption[0] is not basket:
            self._redemption = (basket, get_redemption(basket=basket, now=self.now))
        return self._redemption[1]

    def prepare_hints(self, products: Iterable[Any]) -> None:
        """Work out the hints of many products together."""
        unknown = {product.pk: product for product in products if product and product.pk not in self._hints}
        fetch_stock_records(unknown.values())
        lines: dict[str, dict[int, Any]] = {}
        for product in unknown.values():
            strategy = self.request.strategy
            fetch = strategy.fetch_for_parent if product.is_parent else strategy.fetch_for_product
            info = fetch(product)
            self._hints[product.pk] = None
            if info.price.exists:
                lines.setdefault(info.price.currency, {})[product.pk] = get_product_lines(
                    product, purchase_info=info
                )
        for currency, purchases in lines.items():
            if policy := self.find_policy(currency):
                self._hints.update(preview_each(purchases, policy=policy, situation=self.situation()))

    def situation(self, basket: Any = None, *, shipping_method: str = "") -> Situation:
        """Who would order here, and how."""
        return Situation(
            at=self.now,
            user_id=self.request.user.pk,
            channel=find_channel(basket),
            shipping_method=shipping_method,
        )

    def find_hint(self, product: Any) -> EarnPreview | None:
        return self._hints.get(product.pk)


def _is_mounted() -> bool:
    """A shop that forgot our URLs has working pages; ``loyalty_doctor`` tells it."""
    try:
        reverse("loyalty:programme")
    except NoReverseMatch:
        return False
    return True


# Earning


def never_in_the_way(tag: Callable[..., Any]) -> Callable[..., Any]:
    """A mistake of ours is logged and shows nothing; the shop's page is answered all the same."""

    @functools.wraps(tag)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return tag(*args, **kwargs)
        except Exception:
            logger.exception("{%% %s %%} failed", tag.__name__)
            return ""

    return wrapper


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_earn_hint(context: template.Context, product: Any) -> str:
    """What one piece of ``product`` would earn."""
    page = _Page.of(context)
    if page is None:
        return ""
    page.prepare_hints([product])
    return _render_hint(page, product, compact=False)


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_prepare_hints(context: template.Context, products: Iterable[Any]) -> str:
    """Work out the hints of a list of products, or of search results, for ``loyalty_tile_hint``."""
    page = _Page.of(context)
    if page is not None:
        page.prepare_hints(getattr(product, "object", product) for product in products)
    return ""


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_tile_hint(context: template.Context, product: Any) -> str:
    """The short hint in a tile. Shown in lists that are read in one go: Oscar's listings, and those
    that ``loyalty_prepare_hints`` has seen. Elsewhere it would cost each tile a statement."""
    page = _Page.of(context)
    if page is None:
        return ""
    if page.find_hint(product) is None and (listing := context.get("page_obj")):
        loyalty_prepare_hints(context, listing.object_list)
    return _render_hint(page, product, compact=True)


def _render_hint(page: _Page, product: Any, *, compact: bool) -> str:
    preview = page.find_hint(product)
    if preview is None or preview.points == 0:
        return ""
    return render_to_string(
        "oscar_loyalty/partials/earn_hint.html",
        {
            "preview": preview,
            "is_from": product.is_parent,
            "compact": compact,
            "parts": [] if compact else describe_parts(preview.earning),
        },
    )


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_basket_hint(context: template.Context, shipping_charge: Any = None) -> str:
    """What the basket would earn if it were ordered now; ``shipping_charge`` where it is known."""
    page = _Page.of(context)
    if page is None or page.request.basket.is_empty:
        return ""
    basket = page.request.basket
    policy = page.find_policy(get_currency(basket))
    preview = policy and preview_under_policy(
        lines=get_basket_lines(basket, shipping_charge=shipping_charge or None),
        policy=policy,
        situation=page.situation(
            basket, shipping_method=str(getattr(context.get("shipping_method"), "code", ""))
        ),
    )
    if not preview or preview.points == 0:
        return ""
    return render_to_string(
        "oscar_loyalty/partials/basket_hint.html",
        {
            "preview": preview,
            "parts": describe_parts(preview.earning),
            "is_member": page.redemption.state not in ("guest", "not_member"),
            "is_guest": not page.request.user.is_authenticated,
        },
    )


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_order_points(context: template.Context, order: Any) -> str:
    """What an order brings: booked, expected, waiting to be claimed, or what it would have earned."""
    page = _Page.of(context)
    if page is not None and (box := _render_waiting_points(page, order, by_session=True)):
        return box
    found = page and find_order_points(order=order)
    if page is None or not found:
        return ""
    return render_to_string(
        "oscar_loyalty/partials/order_points.html",
        {"found": found, "is_guest": not page.request.user.is_authenticated},
    )


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_waiting_points(context: template.Context, order: Any) -> str:
    """What waits to be claimed, on the page of a guest's order that Oscar's signed link opens."""
    page = _Page.of(context)
    return _render_waiting_points(page, order, by_session=False) if page is not None else ""


def _render_waiting_points(page: _Page, order: Any, *, by_session: bool) -> str:
    if order.user_id is not None or not order.guest_email:
        return ""
    waiting = find_waiting_points(order_id=order.pk, now=page.now)
    if waiting is None:
        return ""
    return render_to_string(
        "oscar_loyalty/partials/waiting_points.html",
        {
            "waiting": waiting,
            "by_session": by_session,
            "proof": "" if by_session else order.verification_hash(),
            "next": page.request.get_full_path(),
        },
        request=page.request,
    )


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_order_history(context: template.Context, order: Any) -> str:
    """What an order did to its member's points: what was booked, or what is about to be."""
    page = _Page.of(context)
    policy = page and page.find_policy(order.currency)
    account = policy and points.find_account_of_user(
        user_id=order.user_id, programme_code=policy.programme_code
    )
    if page is None or not policy or not account:
        return ""
    entries = points.list_entries_of_order(programme_id=account.programme_id, order_ref=order.number)
    # Whoever reads this is on the page of the order.
    if lines := list(read_lines(with_causes(entries), user_id=None)):
        return render_to_string(
            "oscar_loyalty/partials/order_history.html", {"lines": lines, "time_zone": policy.time_zone}
        )
    found = find_order_points(order=order)
    if found is None or found.state != "EXPECTED":
        return ""
    return render_to_string("oscar_loyalty/partials/order_points.html", {"found": found})


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_order_delivery(context: template.Context, order: Any) -> str:
    """When an order arrives, or that it did. One statement, and none in shops that promise no days."""
    if not loyalty_settings.delivery_methods or _Page.of(context) is None:
        return ""
    promise = find_promise(order_ref=str(order.number))
    if promise is None or promise.void_at:
        return ""
    return render_to_string(
        "oscar_loyalty/partials/order_delivery.html",
        {"promise": promise, "said": describe_promise(promise)},
    )


# Redeeming


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_redemption_box(context: template.Context) -> str:
    """The form that spends points on the basket, or why there is none."""
    page = _Page.of(context)
    if page is None or page.redemption.state in ("disabled", "basket_empty", "currency_not_supported"):
        return ""
    policy = page.find_policy(get_currency(page.request.basket))
    return render_to_string(
        "oscar_loyalty/partials/redemption_box.html",
        {
            "redemption": page.redemption,
            "points": page.redemption.applied or page.redemption.maximum,
            "policy": policy,
            "next": page.request.get_full_path(),
        },
        request=page.request,
    )


@register.simple_tag
@never_in_the_way
def loyalty_name_discounts(discounts: Any) -> str:
    """Nothing; has the discount that points give named in the reader's language, before it is shown.
    Oscar stores one name of it. ``discounts`` are those of a basket or of an order."""
    if not loyalty_settings.enabled:
        return ""
    for discount in discounts or ():
        if isinstance(discount, dict):
            discount["name"] = _translate_name(discount["name"])
        else:
            discount.offer_name = _translate_name(discount.offer_name)
    return ""


def _translate_name(stored: str) -> str:
    return translate_offer_name(carriers.translate_offer_name(stored))


@register.simple_tag
def loyalty_reasons(
    reasons: str | Iterable[str], redemption: Redemption, policy: Policy | None = None
) -> SafeString:
    """Why fewer points are used than asked for, or why no more can be, as one clause."""
    codes = [reasons] if isinstance(reasons, str) else list(reasons)
    shown = {"redemption": redemption, "policy": policy}
    return SafeString(
        "; ".join(
            render_to_string("oscar_loyalty/partials/reason.html", {"reason": code, **shown}).strip()
            for code in codes
        )
    )


# Membership


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_points_summary(context: template.Context) -> str:
    """A member's points in one line with a link, for a header or an account page."""
    page = _Page.of(context)
    if page is None or not page.request.user.is_authenticated:
        return ""
    account = points.find_account_of_user(
        user_id=page.request.user.pk, programme_code=loyalty_settings.programme_code
    )
    if account is None:
        return ""
    currency = get_default_currency()
    policy = page.find_policy(currency)
    balance = points.get_balance(account=account, now=page.now)
    worth = value_of(balance.available, rate=policy.rate) if policy and policy.rate else None
    return render_to_string(
        "oscar_loyalty/partials/points_summary.html",
        {
            "balance": balance,
            "worth": worth,
            "currency": currency,
            "tier": _find_tier(account.member_id, policy=policy, now=page.now),
        },
    )


def _find_tier(member_id: int, *, policy: Policy | None, now: datetime) -> Tier | None:
    """No statement in a programme that never had tiers."""
    return find_held_tier(member_id=member_id, at=now) if policy is not None and policy.has_tiers else None


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_join_box(context: template.Context, next_url: str = "") -> str:
    """The form with which a signed-in customer joins, or the way to signing in."""
    page = _Page.of(context)
    policy = page and page.find_policy(get_default_currency())
    if page is None or not policy:
        return ""
    return render_to_string(
        "oscar_loyalty/partials/join_box.html",
        {"policy": policy, "next": next_url, "terms_url": _terms_url(), "user": page.request.user},
        request=page.request,
    )


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_join_fields(context: template.Context, form: forms.BaseForm | None) -> str:
    """
    Add the unticked box "join the programme", and the separate one for marketing, to a registration
    form that is about to be rendered. ``storefront/registration.py`` reads them.
    """
    page = _Page.of(context)
    policy = page and page.find_policy(get_default_currency())
    if not form or not policy:
        return ""
    form.fields["loyalty_join"] = forms.BooleanField(
        required=False,
        widget=forms.CheckboxInput(attrs={"value": policy.terms_version}),
        label=_linked(
            _(
                "Yes, I would like to join {programme} for free and collect points. I accept the "
                '<a href="{terms_url}" target="_blank" rel="noopener">terms of the programme</a>.'
            ),
            programme=policy.programme_name,
            terms_url=_terms_url(),
        ),
    )
    form.fields["loyalty_marketing"] = forms.BooleanField(
        required=False,
        label=_("Also tell me by e-mail about offers and points campaigns. I can stop this at any time."),
    )
    return ""


def _terms_url() -> str:
    return loyalty_settings.terms_url or reverse("loyalty:programme") + "#terms"


_linked: Any = lazy(format_html, SafeString)


@register.simple_tag(takes_context=True)
@never_in_the_way
def loyalty_is_on(context: template.Context) -> bool:
    """Whether the shop has a programme to link to: ``{% loyalty_is_on as on %}``; no statement."""
    return _Page.of(context) is not None


@register.simple_tag
@never_in_the_way
def loyalty_parts(facts: dict[str, Any]) -> str:
    """What each rule brought to a booking, added up in words; empty where only the base rate acted."""
    return add_up(list_parts(facts))


@register.simple_tag
def loyalty_occasion(facts: dict[str, Any]) -> str:
    """What earned points without an order, in words."""
    return name_occasion(str(facts.get("rule", ""))) or gettext("Earned")


# Formats


@register.filter
def loyalty_number(value: int | Decimal | None) -> str:
    """A number as the language writes it: 1,234 or 1.234."""
    if value is None:
        return ""
    return format_decimal(value, locale=to_locale(get_language() or settings.LANGUAGE_CODE))


@register.filter
def loyalty_change(value: int) -> str:
    """A number with its sign; the minus is a minus, which screen readers say."""
    sign = "+" if value > 0 else "\N{MINUS SIGN}" if value < 0 else ""
    return sign + loyalty_number(abs(value))


@register.filter
def loyalty_day(moment: datetime, time_zone: str) -> str:
    """The day of a moment where the programme is at home."""
    return date_format(moment.astimezone(ZoneInfo(time_zone)), "DATE_FORMAT")


@register.filter
def loyalty_weekday(day: date) -> str:
    """A day with its weekday: Thursday 3 December."""
    return name_day(day)


@register.filter
def loyalty_last_day(moment: datetime, time_zone: str) -> str:
    """The last day on which points can be spent that are gone at ``moment``; empty: they never expire."""
    if moment >= FAR_FUTURE:
        return ""
    return loyalty_day(moment - timedelta(seconds=1), time_zone)


@register.filter
def loyalty_name(tier: Tier | None) -> str:
    """What a tier is called in the reader's language."""
    return name_of(tier) if tier is not None else ""


@register.filter
def loyalty_tier_sentences(progress: Progress) -> list[str]:
    """What is missing for the next tier, what keeps this one and what would be lost, in sentences."""
    return tier_wording.sentences(progress)


@register.filter
def loyalty_tier_next(progress: Progress) -> str:
    """What is missing for the next tier, and until when."""
    return tier_wording.next_sentence(progress)


@register.filter
def loyalty_tier_counted(progress: Progress) -> str:
    """The bar in words."""
    return tier_wording.counted_sentence(progress)


@register.filter
def loyalty_tier_keep(progress: Progress) -> str:
    """What keeps the tier."""
    return tier_wording.keep_sentence(progress)


@register.filter
def loyalty_tier_loss(progress: Progress) -> str:
    """Until when the tier is held without buying more, and what follows."""
    return tier_wording.loss_sentence(progress)


@register.filter
def loyalty_is_known(moment: datetime) -> bool:
    """Whether a moment is a real one, and not "never" or "not known yet"."""
    return moment < FAR_FUTURE
