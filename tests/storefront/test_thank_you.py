from oscar_loyalty.flows.purchases import reward_purchase

from .conftest import text_of


def thank_you(client, order, **kwargs):
    session = client.session
    session["checkout_order_id"] = order.pk
    session.save()
    return text_of(client.get("/checkout/thank-you/", **kwargs))


def test_until_the_booking_is_there_the_preview_is_called_one(member_client, member, placed):
    page = thank_you(member_client, placed(member.user))
    assert "Preview: 119 points for this order" in page
    assert "They are being booked and appear in your account in a moment. They are worth 1.19 €." in page
    assert "Points can be spent 14 days after the order." in page


def test_then_the_booking_is_shown(member_client, member, placed):
    order = placed(member.user)
    reward_purchase(order_id=order.pk, now=order.date_placed)
    page = thank_you(member_client, order)
    assert "You earned 119 points" in page
    assert "Preview:" not in page


def test_guests_are_told_what_they_would_have_earned(client, programme, placed):
    page = thank_you(client, placed())
    assert "As a member you would have earned 119 points" in page
    assert "They would save you 1.19 € with your next order." in page


def test_customers_outside_are_told_too(client, programme, customer, placed):
    client.force_login(customer)
    assert "As a member you would have earned 119 points" in thank_you(client, placed(customer))


def test_in_german(member_client, member, placed):
    page = thank_you(member_client, placed(member.user), headers={"accept-language": "de"})
    assert "Vorschau: 119 Punkte für diese Bestellung" in page
    assert "Sie sind 1,19 € wert." in page


def test_a_cancelled_order_promises_nothing(member_client, member, placed):
    order = placed(member.user)
    order.status = "Cancelled"
    order.save()
    assert "points for this order" not in thank_you(member_client, order)


def test_a_shop_without_a_programme_thanks_as_before(client, db, placed):
    assert "points" not in thank_you(client, placed())
