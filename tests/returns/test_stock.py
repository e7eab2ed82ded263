"""Goods that come back, and who watches the stock: Oscar's stock alerts, and customers who wait for goods."""

from typing import Any

import pytest
from django.utils import timezone
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows import return_steps, returns
from oscar_loyalty.returns.models import Condition
from oscar_loyalty.returns.services import Decision

from .world import accept, ask, make_order

pytestmark = pytest.mark.django_db


@pytest.fixture
def scarce(account: Any) -> Any:
    """Two pieces were sent; with one piece more the stock would be enough."""
    order = make_order(account.user, (("30.00", 2, 19),))
    line = order.lines.get()
    line.consume_allocation(2)
    wants_one_more(line)
    return order


def wants_one_more(line: Any) -> None:
    record = get_model("partner", "StockRecord").objects.get(line=line)
    record.low_stock_threshold = record.net_stock_level + 1
    record.save()
    assert alerts_of(line) == ["Open"]


def alerts_of(line: Any) -> list[str]:
    alerts = get_model("partner", "StockAlert").objects.filter(stockrecord__line=line)
    return list(alerts.order_by("pk").values_list("status", flat=True))


def test_the_alert_is_closed_when_goods_are_on_sale_again(scarce: Any) -> None:
    made = ask(scarce)
    decisions = [Decision(line_id=made.lines.get().line_id, accepted=2, condition=Condition.AS_NEW)]
    returns.preview_inspection(return_id=made.pk, decisions=decisions, now=timezone.now())
    assert alerts_of(scarce.lines.get()) == ["Open"]
    accept(made)
    assert alerts_of(scarce.lines.get()) == ["Closed"]


def test_the_alert_stays_while_nothing_can_be_sold_of_it(scarce: Any) -> None:
    accept(ask(scarce), condition=Condition.DAMAGED)
    assert alerts_of(scarce.lines.get()) == ["Open"]


def test_a_new_alert_is_opened_when_the_decision_is_undone(scarce: Any) -> None:
    done = accept(ask(scarce))
    return_steps.undo_return(return_id=done.pk, reason="a mistake", actor_ref="user:1", now=timezone.now())
    assert alerts_of(scarce.lines.get()) == ["Closed", "Open"]


def test_what_never_left_frees_the_stock_for_others(account: Any) -> None:
    order = make_order(account.user, (("30.00", 2, 19),), delivered=False)
    wants_one_more(order.lines.get())
    accept(ask(order, kind="WITHDRAWAL"))
    assert alerts_of(order.lines.get()) == ["Closed"]


def test_who_waits_for_the_product_is_told_and_not_by_a_preview(scarce: Any, mailoutbox: list[Any]) -> None:
    line = scarce.lines.get()
    get_model("partner", "StockRecord").objects.filter(line=line).update(num_in_stock=0, num_allocated=0)
    waits = get_model("customer", "ProductAlert").objects.create(
        user=factories.UserFactory(), product=line.product, status="Active"
    )
    made = ask(scarce)
    decisions = [Decision(line_id=line.pk, accepted=2, condition=Condition.AS_NEW)]
    returns.preview_inspection(return_id=made.pk, decisions=decisions, now=timezone.now())
    assert mailoutbox == []
    accept(made)
    (mail,) = mailoutbox
    assert mail.to == [waits.user.email]
    waits.refresh_from_db()
    assert waits.status == "Closed"
