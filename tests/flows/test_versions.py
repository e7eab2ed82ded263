"""What is wrong with a version, what is different in it, and that only what is right comes into force."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import translation
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.earning.models import EarningRule
from oscar_loyalty.flows import version_checks
from oscar_loyalty.flows.versions import (
    HasErrors,
    compare_versions,
    find_replaced,
    lint_version,
    publish_draft,
)
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.programmes.services import NotADraft, archive_draft, create_draft, schedule_version
from oscar_loyalty.registry import perks, segments
from oscar_loyalty.tiers.models import TierScheme

from .conftest import NOW

DAY = timedelta(days=1)


@pytest.fixture
def live(programme):
    return programme.versions.get()


@pytest.fixture
def draft(live, settings):
    settings.OSCAR_DEFAULT_CURRENCY = "EUR"
    return create_draft(based_on=live)


def tier(version, code, rank, *, entry, keep=None):
    return version.tiers.create(
        code=code,
        name_de=code.title(),
        name_en=code.title(),
        rank=rank,
        entry_threshold=entry,
        keep_threshold=entry if keep is None else keep,
    )


def said(version, now=NOW):
    return [(finding.severity.value, finding.text) for finding in lint_version(version, now=now)]


def test_nothing_is_wrong_with_a_copy_of_what_is_in_force(draft):
    assert said(draft) == []


def test_a_version_without_a_rate_or_with_one_in_another_currency(draft):
    draft.rates.update(currency="CHF")
    assert said(draft) == [("WARNING", "Something is priced in EUR, but there is no rate for it.")]
    draft.rates.all().delete()
    assert said(draft) == [("ERROR", "There is no rate: nobody earns or spends points.")]


def test_a_status_that_no_order_reaches_and_a_redemption_that_does_not_fit_its_steps(draft):
    draft.spendable_status, draft.step_points, draft.minimum_points = "Dreamt of", 10, 15
    assert [severity for severity, _text in said(draft)] == ["ERROR", "ERROR"]


def test_values_that_a_form_would_have_refused(draft):
    draft.maximum_share_percent = 0
    assert [severity for severity, _text in said(draft)] == ["ERROR"]


def test_tiers_must_rise_and_be_reachable(draft):
    tier(draft, "silver", 1, entry=500, keep=400)
    tier(draft, "gold", 2, entry=500, keep=300)
    texts = [text for _severity, text in said(draft)]
    assert "“Gold” is reached with no more than “Silver” below it." in texts
    assert "There are tiers, but nothing says how they are reached." in texts
    draft.tiers.filter(code="gold").update(entry_threshold=900)
    TierScheme.objects.create(version=draft)
    assert said(draft) == [("WARNING", "“Gold” is kept with less than “Silver” below it.")]


def test_a_scheme_without_tiers_and_in_a_currency_of_another_shop(draft):
    TierScheme.objects.create(version=draft, currency="USD")
    assert [severity for severity, _text in said(draft)] == ["ERROR", "WARNING"]


def test_a_perk_of_a_tier_that_is_not_there(draft):
    class Priority:
        code = "TEST_PRIORITY"
        label = "priority"

    draft.tier_perks.create(tier_code="gold", kind="TEST_PRIORITY")
    with perks.temporarily(Priority):
        assert said(draft) == [("ERROR", "There is no tier gold in this version.")]
    assert len(said(draft)) == 2


def test_a_limit_of_uses_that_nobody_counts(draft):
    tier(draft, "silver", 1, entry=500, keep=400)
    before = said(draft)
    perk = draft.tier_perks.create(tier_code="silver", kind="FREE_SHIPPING", uses_per_period=3)
    assert said(draft) == before
    type(perk).objects.update(kind="EARNING_MULTIPLIER", parameters={"factor": "2"})
    [new] = [one for one in said(draft) if one not in before]
    assert new == ("WARNING", "Nobody counts the uses of this perk, so the limit of uses does nothing.")


def rule(code="rule", **values):
    defaults = {
        "kind": "MULTIPLIER",
        "position": 0,
        "parameters": {},
        "conditions": {},
        "budget_points": None,
        "cap_order_points": None,
        "cap_member_points": None,
    }

    class Rule(SimpleNamespace):
        _meta = EarningRule._meta

        def __str__(self):
            return code

        def full_clean(self, **_options):
            """What a form would have refused has tests of its own."""

    return Rule(**{**defaults, **values})


@pytest.fixture
def with_rules(monkeypatch):
    """Earning rules as their room stores them."""
    rules = []
    rows = version_checks._Seen.rows
    monkeypatch.setattr(
        version_checks._Seen,
        "rows",
        lambda seen, name: rules if name == "earningrule" else rows(seen, name),
    )
    return rules.extend


RATE = {"points": 2, "amount": "1.00", "currency": "EUR"}


@pytest.mark.parametrize(
    ("values", "severity", "words"),
    [
        ({"budget_points": 0}, "ERROR", "budget is 0"),
        ({"cap_order_points": 0}, "ERROR", "limited to 0"),
        ({"parameters": {"factor": "0.5"}}, "ERROR", "less than 1"),
        (
            {
                "conditions": {
                    "active_from": "2026-05-02T00:00:00+00:00",
                    "active_to": "2026-05-01T00:00:00+00:00",
                }
            },
            "ERROR",
            "ends before it begins",
        ),
        ({"conditions": {"active_to": "2026-03-01T00:00:00+00:00"}}, "WARNING", "over before the version"),
        ({"conditions": {"minimum_orders": 5, "maximum_orders": 4}}, "ERROR", "above its largest"),
        ({"conditions": {"nth_order": 3, "every_nth_order": 2}}, "ERROR", "not one of every 2"),
        ({"conditions": {"minimum_value": {"USD": "10"}}}, "ERROR", "no rate for USD"),
        ({"kind": "RATE", "parameters": {**RATE, "currency": "USD"}}, "ERROR", "no rate for USD"),
        ({"conditions": {"tiers": ["gold"]}}, "ERROR", "There is no tier gold"),
        ({"conditions": {"segments": ["NOBODY"]}}, "ERROR", "segment NOBODY"),
        ({"conditions": {"product_ids": [987654]}}, "WARNING", "number 987654). So the rule never matches."),
        ({"conditions": {"category_ids": [987654]}}, "WARNING", "never matches"),
        ({"conditions": {"range_ids": [987654]}}, "WARNING", "never matches"),
        ({"conditions": {"product_class_ids": [987654]}}, "WARNING", "never matches"),
        ({"conditions": {"group_ids": [987654]}}, "WARNING", "never matches"),
    ],
)
def test_a_rule_that_gives_nothing_or_never_matches(draft, with_rules, values, severity, words):
    with_rules([rule(**values)])
    [(found, text)] = said(draft)
    assert (found, words in text) == (severity, True), text


def test_rules_that_make_sense_are_left_alone(draft, with_rules):
    class Fans:
        code = "TEST_FANS"
        label = "fans"

    tier(draft, "gold", 1, entry=500)
    TierScheme.objects.create(version=draft)
    product = factories.create_product()
    with_rules(
        [
            rule(
                parameters={"factor": "2"},
                budget_points=100,
                conditions={
                    "tiers": ["gold"],
                    "segments": ["TEST_FANS"],
                    "product_ids": [product.pk],
                    "nth_order": 4,
                    "every_nth_order": 2,
                    "minimum_value": {"EUR": "10"},
                    "active_from": "2026-05-01T00:00:00+00:00",
                    "active_to": "2026-06-01T00:00:00+00:00",
                },
            ),
            rule(kind="BONUS", conditions=None, parameters=None),
            rule(conditions={"active_to": "soon", "minimum_orders": "many"}),
        ]
    )
    with segments.temporarily(Fans):
        assert said(draft) == []


def test_a_rule_that_names_something_that_is_gone_and_something_that_is_there(draft, with_rules):
    product = factories.create_product()
    with_rules([rule(conditions={"product_ids": [product.pk, 987654]})])
    assert said(draft) == [("WARNING", "Something that it names is no longer in the shop (number 987654).")]


@pytest.mark.parametrize(
    ("one", "other", "severity"),
    [
        ({}, {}, "ERROR"),
        ({"category_ids": [1]}, {"range_ids": [1]}, "WARNING"),
        ({"product_ids": [1]}, {"product_ids": [2]}, None),
        ({"tiers": ["gold"]}, {"tiers": ["silver"]}, None),
        ({"product_ids": [1]}, {}, None),
        (
            {"active_to": "2026-05-01T00:00:00+00:00"},
            {"active_from": "2026-05-01T00:00:00+00:00"},
            None,
        ),
    ],
)
def test_two_rates_for_the_same_lines(draft, with_rules, one, other, severity):
    with_rules(
        [
            rule("first", kind="RATE", parameters=RATE, conditions=one),
            rule("second", kind="RATE", parameters=RATE, conditions=other),
        ]
    )
    found = [level for level, text in said(draft) if "same position" in text]
    assert found == ([severity] if severity else [])


def test_rates_at_different_positions_or_in_different_currencies_do_not_compete(draft, with_rules):
    with_rules(
        [
            rule("first", kind="RATE", parameters=RATE),
            rule("second", kind="RATE", parameters=RATE, position=1),
            rule("third", kind="RATE", parameters={**RATE, "currency": "CHF"}),
        ]
    )
    assert not [text for _severity, text in said(draft) if "same position" in text]


def test_the_number_of_statements_does_not_grow_with_the_rules(
    draft, with_rules, django_assert_max_num_queries
):
    with_rules([rule(str(n), conditions={"product_ids": [n]}, position=n) for n in range(1, 30)])
    with django_assert_max_num_queries(20):
        assert len(said(draft)) == 29


# Publishing


def test_what_has_an_error_does_not_come_into_force(draft):
    draft.rates.all().delete()
    with pytest.raises(HasErrors) as refused:
        publish_draft(version_id=draft.pk, active_from=None, now=NOW)
    assert [finding.text for finding in refused.value.findings]
    draft.refresh_from_db()
    assert draft.active_from is None


def test_a_draft_with_warnings_comes_into_force_once(draft):
    draft.rates.create(currency="CHF")
    publish_draft(version_id=draft.pk, active_from=NOW + DAY, now=NOW)
    with pytest.raises(NotADraft):
        publish_draft(version_id=draft.pk, active_from=NOW + DAY, now=NOW)
    with pytest.raises(NotADraft):
        publish_draft(version_id=draft.pk, active_from=None, now=NOW + 2 * DAY)
    draft.refresh_from_db()
    assert draft.active_from == NOW + DAY


def test_what_is_archived_does_not_come_into_force(draft):
    archive_draft(version_id=draft.pk, now=NOW)
    with pytest.raises(NotADraft):
        publish_draft(version_id=draft.pk, active_from=None, now=NOW)


def test_a_version_replaces_the_one_before_it(live, draft):
    assert find_replaced(draft, now=NOW) == live
    assert find_replaced(live, now=NOW) is None
    later = create_draft(based_on=draft)
    draft = schedule_version(version_id=draft.pk, active_from=NOW + DAY, now=NOW)
    assert find_replaced(later, now=NOW) == live
    later = schedule_version(version_id=later.pk, active_from=NOW + 2 * DAY, now=NOW)
    assert find_replaced(later, now=NOW) == draft


# Comparing


def lines(before, after):
    return [
        (change.what.value, change.headline, [(one.label, one.before, one.after) for one in change.fields])
        for change in compare_versions(before, after)
    ]


def test_copies_are_the_same(live, draft):
    assert compare_versions(live, draft) == []


def test_what_changes_is_said_part_by_part(live, draft):
    tier(live, "silver", 1, entry=100)
    live.tier_perks.create(tier_code="silver", kind="FREE_SHIPPING", parameters={"from": "20.00"})
    draft = create_draft(based_on=live)
    category = get_model("catalogue", "Category").add_root(name="Books")
    ProgrammeVersion.objects.filter(pk=draft.pk).update(
        waiting_days=7, expiry_months=None, excluded_category_ids=[category.pk, 99], transfers_allowed=True
    )
    draft.refresh_from_db()
    draft.rates.update(earn_points=2)
    draft.rates.create(currency="CHF")
    draft.tiers.all().delete()
    draft.tier_perks.update(parameters={"from": "10.00"}, uses_per_period=2)
    changes = lines(live, draft)
    assert changes[0] == (
        "CHANGED",
        "Promises",
        [
            ("Excluded categories", "—", "Books, #99"),
            ("Waiting period (days)", "14", "7"),
            ("Points expire after (months)", "36", "—"),
            ("Members may give points to each other", "no", "yes"),
        ],
    )
    assert ("CHANGED", "Rate “EUR”", [("Earn (points)", "1", "2")]) in changes
    assert [change[:2] for change in changes if "CHF" in change[1]] == [("ADDED", "Rate “CHF”")]
    assert [change[:2] for change in changes if "Tier" in change[1]] == [("REMOVED", "Tier “Silver”")]
    assert changes[-1] == (
        "CHANGED",
        "Perk of a tier “Silver: free delivery”",
        [("Details", "from: 20.00", "from: 10.00"), ("Uses per year", "—", "2")],
    )
    assert compare_versions(live, draft)[-1].key == "silver FREE_SHIPPING"


def test_rules_and_perks_are_compared_as_sentences(live, draft):
    category = get_model("catalogue", "Category").add_root(name="Books")
    tier(live, "silver", 1, entry=100)
    live.tier_perks.create(
        tier_code="silver", kind="FREE_SHIPPING", parameters={"minimum": "29.00", "currency": "EUR"}
    )
    live.earning_rules.create(
        code="books",
        name="Books",
        kind="MULTIPLIER",
        parameters={"factor": "2"},
        conditions={"category_ids": [category.pk], "tiers": ["silver"]},
    )
    draft = create_draft(based_on=live)
    draft.tier_perks.update(parameters={})
    draft.earning_rules.update(parameters={"factor": "3"}, cap_order_points=50, position=7)
    said = {change[1]: change[2] for change in lines(live, draft)}
    before = "2 times the usual points; for the categories Books and below; for members of Silver"
    after = (
        "3 times the usual points; for the categories Books and below; for members of Silver; "
        "at most 50 points per order"
    )
    assert said["Earning rule “Books”"] == [("What it does", before, after), ("Position", "0", "7")]
    assert said["Perk of a tier “Silver: free delivery”"] == [
        ("What it does", "Free delivery for orders from €29.00", "Free delivery")
    ]


def test_a_perk_is_named_in_the_language_of_staff_with_the_names_of_what_it_is_for(live):
    tier(live, "silver", 1, entry=100)
    live.tiers.update(name_de="Silber")
    draft = create_draft(based_on=live)
    draft.tiers.update(entry_threshold=200)
    draft.tier_perks.create(
        tier_code="silver", kind="FREE_SHIPPING", parameters={"methods": ["standard"], "countries": ["AT"]}
    )
    draft.tier_perks.create(tier_code="gone", kind="OF_A_PLUGIN")
    with translation.override("de"):
        said = {
            change.headline: [(one.name, one.after) for one in change.fields]
            for change in compare_versions(live, draft, name_methods=lambda: {"standard": "Paketdienst"})
        }
    assert list(said) == [
        "Stufe „Silber“",
        "Vorteil einer Stufe „gone: OF_A_PLUGIN“",
        "Vorteil einer Stufe „Silber: kostenlose Lieferung“",
    ]
    [(_name, sentence)] = said["Vorteil einer Stufe „Silber: kostenlose Lieferung“"]
    assert "Paketdienst" in sentence
    assert "Österreich" in sentence


def test_a_rule_that_nobody_can_read_is_compared_by_its_values(live, draft):
    live.earning_rules.create(code="gone", name="Gone", kind="OF_A_PLUGIN", parameters={"a": 1})
    draft = create_draft(based_on=live)
    draft.earning_rules.update(parameters={"a": 2})
    assert [change[2] for change in lines(live, draft)] == [[("Details", "a: 1", "a: 2")]]


def test_the_status_that_points_wait_for_is_said_as_somebody_has_translated_it(live, draft):
    # A word that Django itself has translated.
    ProgrammeVersion.objects.filter(pk=draft.pk).update(spendable_status="Monday")
    draft.refresh_from_db()
    with translation.override("de"):
        [(_what, _headline, [status])] = lines(live, draft)
    assert status[2] == "Montag"


def test_a_scheme_is_compared_in_the_words_of_its_choices(live, draft):
    TierScheme.objects.create(version=live)
    TierScheme.objects.create(version=draft, metric="ORDERS")
    assert lines(live, draft) == [
        ("CHANGED", "Tier scheme", [("Tiers are reached by", "money spent", "number of orders")])
    ]


def test_the_first_version_is_new_as_a_whole(live):
    assert [change[:2] for change in lines(None, live)] == [("ADDED", "Rate “EUR”")]


def test_numbers_are_those_of_the_reader(live, draft):
    draft.rates.update(earn_amount="1234.50")
    with translation.override("de"):
        [(_what, _headline, fields)] = lines(live, draft)
    assert fields[0][1:] == ("1", "1.234,5")
