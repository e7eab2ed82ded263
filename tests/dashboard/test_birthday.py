"""Staff note or correct a birthday; it says who did."""

from datetime import timedelta

from django.utils import timezone

from oscar_loyalty.members.models import Birthday
from oscar_loyalty.members.services import set_birthday

from .conftest import url


def test_staff_correct_what_the_member_told(desk, make_member):
    account = make_member("anna")
    set_birthday(
        member_id=account.member_id,
        month=3,
        day=4,
        actor_ref=f"user:{account.member.user_id}",
        now=timezone.now() - timedelta(days=90),
    )
    address = url("birthday", account.member.public_id)
    page = desk.get(address, headers={"accept-language": "en"})
    assert (page.context["form"]["day"].value(), page.context["form"]["month"].value()) == (4, 3)
    assert "March 4, told on" in page.content.decode()
    assert "by Anna Berg." in page.content.decode()
    form = page.context["form"]
    answer = desk.post(address, {"key": form["key"].value(), "day": "29", "month": "2"}, follow=True)
    assert "is noted." in answer.content.decode()
    told = Birthday.objects.get()
    assert (told.month, told.day, told.set_by_ref) == (2, 29, f"user:{desk.user.pk}")
    page = desk.get(address, headers={"accept-language": "en"}).content.decode()
    assert "by Clerk." in page
    assert "It counts from" in page, "like what members tell, 30 days later"


def test_a_day_that_there_is_not_is_said_beside_the_field(desk, make_member):
    address = url("birthday", make_member("anna").member.public_id)
    key = desk.get(address).context["form"]["key"].value()
    page = desk.post(
        address, {"key": key, "day": "31", "month": "4"}, headers={"accept-language": "en"}
    ).content.decode()
    assert "There is no such day." in page
    assert not Birthday.objects.exists()


def test_the_page_of_a_member_leads_to_it_for_whoever_may(desk, log_in, make_member):
    member = make_member("anna").member
    address = url("birthday", member.public_id)
    assert address in desk.get(url("member", member.public_id)).content.decode()
    other = log_in("view_member", name="otto")
    assert address not in other.get(url("member", member.public_id)).content.decode()
