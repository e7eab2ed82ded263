"""
The office of the running shop: ``python -m tests.journeys.clerk`` answers questions, one a line.

It runs under the shop's own settings, which the process of the tests cannot.
"""

from __future__ import annotations

import json
import sys
import traceback
from decimal import Decimal
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone


def open_shop(*, customers: int, orders: int) -> None:
    """Make the database and fill it; nobody has ordered since."""
    # Straight from the models, as the suite does it: a minute less. The migrations have tests of their own.
    settings.MIGRATION_MODULES = dict.fromkeys((app.label for app in apps.get_app_configs()), None)
    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("seed_shop", customers=customers, orders=orders, stdout=sys.stderr)
    call_command("loyalty_setup", currency=["EUR"], stdout=sys.stderr)


def read_account(*, person: str) -> dict[str, Any]:
    from oscar_loyalty.points import queries

    account = _find_account(person)
    lots = queries.list_open_lots(account_id=account.pk)
    entries = queries.list_entries(account_id=account.pk)
    return {
        "balance": vars_of(queries.get_balance(account=account, now=timezone.now())),
        "lots": sorted([lot.pk, lot.pending, lot.remaining, lot.expires_at.isoformat()] for lot in lots),
        "entries": [[entry.kind, entry.order_ref] for entry in entries.order_by("pk")],
    }


def read_orders(*, person: str) -> list[dict[str, Any]]:
    from oscar.core.loading import get_model

    orders = get_model("order", "Order").objects.filter(user=_find_user(person))
    orders = orders.filter(date_placed__gt=_opened_at).order_by("-pk")
    return [
        {
            "number": order.number,
            "status": order.status,
            "total": str(order.total_incl_tax),
            "discount": str(order.total_discount_incl_tax),
            "shipping": str(order.shipping_incl_tax),
            "shipping_code": order.shipping_code,
            "lines": order.lines.count(),
            "intents": list(order.sources.values_list("reference", flat=True)),
            "refunded": str(sum(source.amount_refunded for source in order.sources.all())),
        }
        for order in orders
    ]


def empty_basket(*, person: str) -> None:
    """Leave nothing behind of what an earlier journey began."""
    from oscar.core.loading import get_model

    get_model("basket", "Basket").objects.filter(owner=_find_user(person)).exclude(
        status="Submitted"
    ).delete()


def set_status(*, number: str, status: str) -> None:
    from oscar.core.loading import get_model

    get_model("order", "Order").objects.get(number=number).set_status(status)


def find_products(*, count: int) -> list[dict[str, Any]]:
    """Stand-alone products with plenty in stock, dearest first."""
    from oscar.core.loading import get_model

    records = get_model("partner", "StockRecord").objects.filter(
        product__structure="standalone", product__is_public=True, num_in_stock__gte=10
    )
    return [
        {
            "id": record.product_id,
            "slug": record.product.slug,
            "title": record.product.get_title(),
            "price": str(record.price),
        }
        for record in records.select_related("product").order_by("-price")[:count]
    ]


def count_stock(*, product: int) -> int:
    """Pieces of a product that can be sold: in stock and not promised to somebody."""
    from oscar.core.loading import get_model

    records = get_model("partner", "StockRecord").objects.filter(product_id=product)
    return sum(record.net_stock_level for record in records)


def check_ledger(*, person: str) -> None:
    from oscar_loyalty.testing.ledger import assert_ledger_balanced

    with transaction.atomic():  # the worker books meanwhile
        assert_ledger_balanced(_find_account(person))


def sweep() -> dict[str, int]:
    from oscar_loyalty.flows.sweeping import sweep as sweep_now

    return vars_of(sweep_now(now=timezone.now()))


def give_points(*, person: str, points: int) -> None:
    from oscar_loyalty.points.services import adjust_points

    now = timezone.now()
    adjust_points(
        account_id=_find_account(person).pk,
        points=points,
        reason_code="GOODWILL",
        idempotency_key=f"gift:{now:%H%M%S%f}",
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        actor_ref="test",
        now=now,
    )


def read_tier(*, person: str) -> dict[str, str]:
    """The tier of a member, and what counts for it."""
    from oscar_loyalty.tiers.queries import find_status

    account = _find_account(person)
    status = find_status(member_id=account.member_id, programme_id=account.programme_id)
    return {"code": status.tier_code, "qualified": str(status.qualified)} if status else {"code": ""}


def let_count(*, person: str, spend: str) -> None:
    """Have so much money count for a member's tier, whatever they have bought before."""
    from oscar_loyalty.tiers.models import QualifyingEntry
    from oscar_loyalty.tiers.services import disqualify_purchase, qualify_purchase

    now = timezone.now()
    account = _find_account(person)
    counted = QualifyingEntry.objects.filter(member_id=account.member_id)
    for order_ref in counted.order_by().values_list("order_ref", flat=True).distinct():
        disqualify_purchase(
            programme_id=account.programme_id, order_ref=order_ref, key=f"given back:{order_ref}", now=now
        )
    qualify_purchase(
        programme_id=account.programme_id,
        member_id=account.member_id,
        order_ref=f"till:{now:%H%M%S%f}",
        occurred_at=now,
        points=0,
        spend=Decimal(spend),
        currency="EUR",
        now=now,
    )


def read_promises(*, number: str) -> dict[str, Any]:
    """What an order keeps of its buyer's tier, and the perks that acted on it."""
    from oscar_loyalty.tiers.models import OrderPerks, PerkUse

    frozen = OrderPerks.objects.get(order_ref=number)
    uses = PerkUse.objects.filter(order_ref=number, undone_at=None)
    return {
        "tier": frozen.tier_code,
        "kinds": sorted(perk["kind"] for perk in frozen.perks),
        "uses": sorted([use.kind, str(use.saved)] for use in uses),
    }


def deliver(*, number: str) -> None:
    """Have the carrier report that an order has arrived."""
    for status in ("Being processed", "Shipped", "Complete"):
        set_status(number=number, status=status)


def make_guests(*, number: str) -> str:
    """Make it the order of a guest; return what the link in their mail carries."""
    from oscar.core.loading import get_model

    from oscar_loyalty.flows.return_access import make_token
    from oscar_loyalty.shop.order_owners import find_owned_order

    orders = get_model("order", "Order").objects.filter(number=number)
    orders.update(user=None, guest_email="gast@example.com")
    return make_token(order=find_owned_order(number=number), now=timezone.now())


def hurry() -> None:
    """Send what waits in the outbox, as the shop does twice a minute."""
    from oscar_loyalty.flows.sweeping import relay_outbox

    while relay_outbox(now=timezone.now()):
        pass


def read_return(*, number: str) -> dict[str, Any]:
    from oscar_loyalty.payments.refund_models import Refund
    from oscar_loyalty.returns.models import Return

    of_return = Return.objects.get(number=number)
    refunds = Refund.objects.filter(cause_ref__startswith=f"return:{number}:").order_by("pk")
    return {
        "state": of_return.state,
        "refund": str(of_return.refund_amount),
        "points_taken": of_return.points_taken,
        "refunds": [{"id": one.gateway_id, "state": one.state, "amount": str(one.amount)} for one in refunds],
        "has_label": hasattr(of_return, "label") and of_return.label.state == "READY",
    }


def accept_return(*, number: str) -> None:
    """At the desk: the parcel is here, and everything in it is as new."""
    from oscar_loyalty.flows import return_steps
    from oscar_loyalty.returns.models import Return
    from oscar_loyalty.returns.services import Decision

    of_return = Return.objects.get(number=number)
    decisions = [Decision(line_id=line.line_id, accepted=line.quantity) for line in of_return.lines.all()]
    return_steps.receive_return(return_id=of_return.pk, actor_ref="user:1", now=timezone.now())
    return_steps.inspect_return(
        return_id=of_return.pk, decisions=decisions, actor_ref="user:1", now=timezone.now()
    )


def read_mails(*, person: str) -> list[dict[str, str]]:
    """Mails to ``person``, oldest first."""
    from email import message_from_bytes, policy
    from pathlib import Path

    mails, folder = [], Path(settings.EMAIL_FILE_PATH)
    for file in sorted(folder.glob("*.log"), key=lambda file: file.stat().st_mtime_ns):
        # One process writes all of its mails into one file, with a line of dashes after each.
        for raw in file.read_bytes().split(b"\n" + b"-" * 79 + b"\n"):
            message = message_from_bytes(raw.lstrip(), policy=policy.default)
            if f"{person}@" in str(message["To"]):
                body = message.get_body(("plain",))
                mails.append({"subject": str(message["Subject"]), "text": body.get_content() if body else ""})
    return mails


def vars_of(answer: Any) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(answer)


def _find_user(person: str) -> Any:
    from django.contrib.auth import get_user_model

    return get_user_model().objects.get(email=f"{person}@morgenrot.example")


def _find_account(person: str) -> Any:
    from oscar_loyalty.conf import loyalty_settings
    from oscar_loyalty.points import queries

    account = queries.find_account_of_user(
        user_id=_find_user(person).pk, programme_code=loyalty_settings.programme_code
    )
    assert account is not None, f"{person} is no member"
    return account


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        question, about = json.loads(line)
        try:
            answer = {"result": globals()[question](**about)}
        except Exception:  # noqa: BLE001 - the test is told
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    django.setup()
    _opened_at = timezone.now()
    main()
