import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from tests.admin.conftest import award, hold, make_member, make_user, programme

__all__ = ["award", "hold", "make_member", "make_user", "programme"]

#: Whoever has all of them sees and does everything.
EVERYTHING = (
    "view_member",
    "view_tier",
    "view_entry",
    "view_hold",
    "change_hold",
    "view_adjustment",
    "add_adjustment",
    "approve_adjustment",
    "freeze_account",
    "close_account",
    "transfer_points",
    "view_membermerge",
    "add_membermerge",
    "approve_membermerge",
    "view_deliverypromise",
    "change_deliverypromise",
    "override_tier",
    "view_return",
    "handle_returns",
    "handle_refund",
    "view_withdrawal",
    "view_goodwill",
    "add_goodwill",
    "approve_goodwill",
    "change_birthday",
)


def url(name, *args):
    return reverse(f"loyalty-dashboard:loyalty-{name}", args=args)


@pytest.fixture
def log_in(db):
    """A client of somebody on the staff with these permissions: ``log_in("view_member", name="otto")``."""
    from django.test import Client

    def log_in(*codenames, name="clerk"):
        user = make_user(name, is_staff=True, first_name=name.title())
        user.user_permissions.set(
            Permission.objects.filter(content_type__app_label="oscar_loyalty", codename__in=codenames)
        )
        user.refresh_from_db()
        client = Client()
        client.force_login(user)
        client.user = user
        return client

    return log_in


@pytest.fixture
def desk(log_in):
    """Somebody who may do everything, without being a superuser."""
    return log_in(*EVERYTHING)
