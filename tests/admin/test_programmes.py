from datetime import timedelta
from decimal import Decimal

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone
from oscar.core.loading import get_model

from oscar_loyalty.programmes import queries
from oscar_loyalty.programmes.models import CurrencyRate, ProgrammeVersion
from oscar_loyalty.programmes.services import VersionInForce, publish_version, revise_version

from .conftest import make_user

ADD = "admin:oscar_loyalty_programmeversion_add"
CHANGE = "admin:oscar_loyalty_programmeversion_change"


def rate(number=0, **changes):
    values = {
        "currency": "EUR",
        "earn_points": "1",
        "earn_amount": "1.00",
        "redeem_points": "100",
        "redeem_amount": "1.00",
        "card_minimum": "0.50",
        **changes,
    }
    return {f"rates-{number}-{name}": value for name, value in values.items()}


def typed(programme, *rates, **changes):
    rates = rates or (rate(),)
    form = {
        "programme": programme.pk,
        "follows": max(programme.versions.values_list("number", flat=True), default=""),
        "active_from_0": "",
        "active_from_1": "",
        "note": "",
        "terms_version": "1",
        "includes_tax": "on",
        "spendable_status": "Complete",
        "waiting_days": "14",
        "expiry_months": "36",
        "return_grace_days": "30",
        "minimum_points": "1",
        "step_points": "1",
        "maximum_share_percent": "50",
        "claim_days": "30",
        "four_eyes_points": "10000",
        "rates-TOTAL_FORMS": str(len(rates)),
        "rates-INITIAL_FORMS": "0",
    }
    for values in rates:
        form.update(values)
    return {**form, **changes}


def problems(response):
    assert response.status_code == 200
    return str(response.context["errors"])


def plan(programme, *, days=10):
    return publish_version(
        version=ProgrammeVersion(programme=programme, terms_version="1"),
        rates=[CurrencyRate(currency="EUR")],
        active_from=timezone.now() + timedelta(days=days),
        now=timezone.now(),
    )


def test_a_new_version_comes_into_force_at_once_and_the_old_one_keeps_its_orders(admin_client, programme):
    before = timezone.now()
    response = admin_client.post(reverse(ADD), typed(programme, waiting_days="7", note="shorter"))
    assert response.status_code == 302, problems(response)
    policy = queries.get_policy(currency="EUR", at=timezone.now())
    assert (policy.version, policy.waiting_days, policy.spendable_status) == (2, 7, "Complete")
    assert policy.maximum_share_percent == 50
    assert policy.rate.earn_points == 1
    assert queries.get_policy(currency="EUR", at=before).version == 1


def test_whoever_may_publish_a_version_decides_on_its_rates(clerk, programme):
    client = clerk(
        "view_programme", "view_programmeversion", "add_programmeversion", "publish_programmeversion"
    )
    assert 'name="rates-0-earn_points"' in client.get(reverse(ADD)).content.decode()
    response = client.post(reverse(ADD), typed(programme, **{"rates-0-earn_points": "3"}))
    assert response.status_code == 302, problems(response)
    assert queries.get_policy(currency="EUR", at=timezone.now()).rate.earn_points == 3


def test_whoever_may_edit_a_planned_version_edits_its_rates_and_only_looks_at_those_in_force(
    clerk, programme
):
    planned, in_force = plan(programme), programme.versions.get(number=1)
    client = clerk(
        "view_programme", "view_programmeversion", "change_programmeversion", "publish_programmeversion"
    )
    assert 'name="rates-0-earn_points"' in client.get(reverse(CHANGE, args=[planned.pk])).content.decode()
    page = client.get(reverse(CHANGE, args=[in_force.pk])).content.decode()
    assert 'name="rates-0-earn_points"' not in page
    assert "EUR" in page


def test_a_new_version_starts_from_the_one_it_is_based_on(admin_client, programme):
    old = programme.versions.get()
    ProgrammeVersion.objects.filter(pk=old.pk).update(waiting_days=21, excluded_category_ids=[5])
    old.rates.create(currency="CHF", earn_points=2)
    response = admin_client.get(reverse(CHANGE, args=[old.pk]))
    link = f"{reverse(ADD)}?based_on={old.pk}"
    assert f'href="{link}"' in response.content.decode()
    page = admin_client.get(link)
    form = page.context["adminform"].form
    assert form.initial["waiting_days"] == 21
    assert form.initial["excluded_category_ids"] == [5]
    assert "active_from" not in form.initial
    currencies = [
        inline.initial["currency"] for inline in page.context["inline_admin_formsets"][0].formset.forms
    ]
    assert currencies == ["CHF", "EUR"]


def test_a_double_click_publishes_one_version(admin_client, programme):
    page = admin_client.get(reverse(ADD))
    data = typed(programme, follows=page.context["adminform"].form.initial["follows"])
    assert admin_client.post(reverse(ADD), data).status_code == 302
    assert "Version 2 was published meanwhile" in problems(admin_client.post(reverse(ADD), data))
    assert programme.versions.count() == 2


def test_the_first_version_of_a_programme_starts_with_the_shops_currency(admin_client, db):
    page = admin_client.get(reverse(ADD))
    forms = page.context["inline_admin_formsets"][0].formset.forms
    assert [form.initial["currency"] for form in forms] == [settings.OSCAR_DEFAULT_CURRENCY]


def test_two_rates_that_are_left_as_they_were_copied_are_both_saved(admin_client, programme):
    data = typed(programme, rate(), rate(1, currency="chf"))
    assert admin_client.post(reverse(ADD), data).status_code == 302
    assert queries.list_currencies(at=timezone.now()) == ["CHF", "EUR"]


def test_a_version_in_force_is_only_read(admin_client, programme):
    version = programme.versions.get()
    url = reverse(CHANGE, args=[version.pk])
    page = admin_client.get(url).content.decode()
    assert "no longer changes" in page
    assert 'name="waiting_days"' not in page
    assert admin_client.post(url, typed(programme, waiting_days="1")).status_code == 403
    delete = reverse("admin:oscar_loyalty_programmeversion_delete", args=[version.pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403
    version.refresh_from_db()
    assert version.waiting_days == 14


def test_a_planned_version_is_edited_and_can_be_deleted(admin_client, programme):
    version = plan(programme)
    url = reverse(CHANGE, args=[version.pk])
    moment = timezone.localtime(timezone.now() + timedelta(days=20))
    kept = version.rates.get()
    data = typed(
        programme,
        {**rate(earn_points="2"), "rates-0-id": kept.pk, "rates-0-version": version.pk},
        waiting_days="3",
        active_from_0=f"{moment:%Y-%m-%d}",
        active_from_1=f"{moment:%H:%M:%S}",
        **{"rates-INITIAL_FORMS": "1"},
    )
    response = admin_client.post(url, data)
    assert response.status_code == 302, problems(response)
    version.refresh_from_db()
    assert (version.number, version.waiting_days) == (2, 3)
    assert version.rates.get().earn_points == 2
    assert abs(version.active_from - moment) < timedelta(seconds=1)
    delete = reverse("admin:oscar_loyalty_programmeversion_delete", args=[version.pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 302
    assert programme.versions.count() == 1


def test_a_version_that_came_into_force_meanwhile_is_not_revised(programme):
    version = programme.versions.get()
    version.active_from = timezone.now() + timedelta(days=1)
    version.waiting_days = 1
    with pytest.raises(VersionInForce):
        revise_version(version=version, now=timezone.now())
    version.refresh_from_db()
    assert version.waiting_days == 14


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"maximum_share_percent": "101"}, "more than 100"),
        ({"maximum_share_percent": "0"}, "more than 0"),
        ({"minimum_points": "150", "step_points": "100"}, "multiple of the step: 100 or 200"),
        ({"minimum_points": "50", "step_points": "100"}, "multiple of the step: 100"),
        ({"expiry_months": "0"}, "greater than or equal to 1"),
        ({"active_from_0": "2020-01-01", "active_from_1": "00:00"}, "This moment is over"),
        ({"spendable_status": "Dreamt of"}, "not one of the available choices"),
        ({"terms_version": ""}, "required"),
        ({"rates-0-earn_amount": "0"}, "more than zero"),
        ({"rates-0-redeem_points": "0"}, "more than zero"),
        ({"rates-0-redeem_amount": "-1"}, "more than zero"),
        ({"rates-0-card_minimum": "-1"}, "cannot be negative"),
        ({"rates-0-earn_points": "-1"}, "cannot be negative"),
        ({"rates-0-currency": "XXQ"}, "is not a currency code"),
        ({"rates-0-currency": ""}, "required"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words_and_not_saved(admin_client, programme, changes, words):
    response = admin_client.post(reverse(ADD), typed(programme, **changes))
    text = problems(response)
    assert words in text
    assert "Constraint" not in text
    assert programme.versions.count() == 1


def test_a_currency_has_one_rate(admin_client, programme):
    response = admin_client.post(reverse(ADD), typed(programme, rate(), rate(1, currency="eur ")))
    assert "Each currency can have one rate." in problems(response)


def test_a_version_needs_a_rate(admin_client, programme):
    response = admin_client.post(reverse(ADD), typed(programme, {}, **{"rates-TOTAL_FORMS": "0"}))
    assert "at least 1" in problems(response)


def test_a_rate_of_no_points_is_a_version_that_earns_nothing(admin_client, programme):
    assert admin_client.post(reverse(ADD), typed(programme, rate(earn_points="0"))).status_code == 302
    assert not queries.get_policy(currency="EUR", at=timezone.now()).can_earn()


def sentences(response):
    return " ".join(response.context["loyalty_preview"])


def test_the_page_says_what_the_version_promises(admin_client, programme):
    page = admin_client.get(reverse(CHANGE, args=[programme.versions.get().pk]))
    assert "A customer who pays €119.40 for goods (VAT included) earns 119 points, worth €1.19." in sentences(
        page
    )
    assert "They expire 36 months after that" in sentences(page)


def test_preview_says_what_is_typed_and_saves_nothing(admin_client, programme):
    data = typed(
        programme,
        rate(earn_points="2"),
        waiting_days="1",
        expiry_months="",
        step_points="10",
        minimum_points="20",
    )
    page = admin_client.post(reverse(ADD), {**data, "_preview": "Preview"})
    assert page.status_code == 200
    assert not page.context["errors"]
    assert "earns 238 points, worth €2.38" in sentences(page)
    assert "1 day after the order has become “Complete”. They never expire." in sentences(page)
    assert "up to 50 % of the goods, from 20 points, in steps of 10 points" in sentences(page)
    assert programme.versions.count() == 1


def test_preview_of_a_mistake_shows_the_mistake(admin_client, programme):
    page = admin_client.post(reverse(ADD), {**typed(programme, maximum_share_percent="500"), "_preview": "1"})
    assert "more than 100" in problems(page)
    assert page.context["loyalty_preview"] == []


def test_a_german_reader_sees_german_money(admin_client, programme):
    page = admin_client.get(
        reverse(CHANGE, args=[programme.versions.get().pk]), headers={"accept-language": "de"}
    )
    assert "119,40\xa0€" in sentences(page)


def test_categories_and_product_types_are_chosen_from_the_catalogue(admin_client, programme):
    category = get_model("catalogue", "Category")
    coffee = category.add_root(name="Coffee")
    beans = coffee.add_child(name="Beans")
    gift_card = get_model("catalogue", "ProductClass").objects.create(name="Gift card")
    form = admin_client.get(reverse(ADD)).context["adminform"].form
    assert (beans.pk, "Coffee › Beans") in form.fields["excluded_category_ids"].choices
    chosen = {"excluded_category_ids": [beans.pk], "excluded_product_class_ids": [gift_card.pk]}
    preview = admin_client.post(reverse(ADD), {**typed(programme, **chosen), "_preview": "1"})
    assert "Nothing is earned on: Coffee › Beans, Gift card." in sentences(preview)
    assert admin_client.post(reverse(ADD), typed(programme, **chosen)).status_code == 302
    policy = queries.get_policy(currency="EUR", at=timezone.now())
    assert policy.excluded_category_ids == {beans.pk}
    assert policy.excluded_product_class_ids == {gift_card.pk}
    page = admin_client.get(reverse(CHANGE, args=[programme.versions.get(number=2).pk])).content.decode()
    assert "Coffee › Beans" in page


def test_a_status_that_left_the_pipeline_stays_chosen_and_is_marked(admin_client, programme):
    version = plan(programme)
    ProgrammeVersion.objects.filter(pk=version.pk).update(spendable_status="Delivered")
    page = admin_client.get(reverse(CHANGE, args=[version.pk])).content.decode()
    assert "Delivered (no longer in the pipeline)" in page


def test_the_programme_shows_its_promise_and_its_versions(admin_client, programme):
    plan(programme)
    text = admin_client.get(
        reverse("admin:oscar_loyalty_programme_change", args=[programme.pk])
    ).content.decode()
    assert "earns 119 points, worth €1.19" in text
    assert "scheduled" in text
    assert "in force" in text


def test_the_brakes_are_pulled_by_staff(admin_client, programme):
    url = reverse("admin:oscar_loyalty_programme_change", args=[programme.pk])
    data = {"name": "Punkte", "time_zone": "Europe/Berlin", "earning_paused": "on"}
    assert admin_client.post(url, data).status_code == 302
    policy = queries.get_policy(currency="EUR", at=timezone.now())
    assert (policy.can_earn(), policy.can_redeem()) == (False, True)


def test_a_programme_is_never_deleted_and_keeps_its_code(admin_client, programme):
    delete = reverse("admin:oscar_loyalty_programme_delete", args=[programme.pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403
    url = reverse("admin:oscar_loyalty_programme_change", args=[programme.pk])
    admin_client.post(url, {"name": "Bohnen", "time_zone": "Europe/Vienna", "code": "other"})
    programme.refresh_from_db()
    assert (programme.name, programme.code) == ("Bohnen", "default")
    bad = admin_client.post(url, {"name": "Bohnen", "time_zone": "Mars/Olympus"})
    assert "not one of the available choices" in problems(bad)


def test_states_of_versions_are_told_apart(admin_client, programme):
    publish_version(
        version=ProgrammeVersion(programme=programme, terms_version="2"),
        rates=[CurrencyRate(currency="EUR")],
        active_from=timezone.now(),
        now=timezone.now(),
    )
    plan(programme)
    text = admin_client.get(reverse("admin:oscar_loyalty_programmeversion_changelist")).content.decode()
    order = [text.index(f'field-state">{state}') for state in ("scheduled", "in force", "archived")]
    assert order == sorted(order)


def test_who_may_only_look_at_versions_publishes_none(client, programme):
    viewer = make_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_programmeversion"))
    client.force_login(viewer)
    page = client.get(reverse(CHANGE, args=[plan(programme).pk])).content.decode()
    assert "New version based on this one" not in page
    assert "_preview" not in page
    assert client.post(reverse(ADD), typed(programme)).status_code == 403


@pytest.mark.parametrize(("currency", "said"), [("JPY", "¥119"), ("EUR", "€119.40")])
def test_the_example_is_in_coins_of_the_currency(admin_client, programme, currency, said):
    values = rate(currency=currency, redeem_amount=str(Decimal(1)))
    page = admin_client.post(reverse(ADD), {**typed(programme, values), "_preview": "1"})
    assert f"pays {said} for goods" in sentences(page)
