"""The people who can log in to the sandbox: one list for the seed, the login page and `make run`."""

from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext_lazy as _

#: One password for all of them. They exist only in data made by `seed_shop`.
PASSWORD = "kaffee-und-tee"


@dataclass(frozen=True)
class Person:
    """
    A demo login. `orders` is how many past orders the seed gives them; `member` says whether they
    belong to the loyalty programme; `permissions` are for staff who are not superusers.
    """

    key: str
    first_name: str
    last_name: str
    role: object
    language: str = "de"
    orders: int = 0
    member: bool = False
    is_staff: bool = False
    is_superuser: bool = False
    permissions: tuple[str, ...] = ()

    @property
    def email(self) -> str:
        return f"{self.key}@morgenrot.example"

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}"


PEOPLE = (
    Person("hanna", "Hanna", "Petersen", _("Member of long standing"), orders=34, member=True),
    Person("jonas", "Jonas", "Brandt", _("Member with some orders"), orders=9, member=True),
    Person("mila", "Mila", "Schneider", _("New customer, no orders yet")),
    Person("oliver", "Oliver", "Grant", _("Customer, not a member"), language="en", orders=5),
    Person(
        "service",
        "Theresa",
        "Vogt",
        _("Shop clerk: orders, reviews, customers and their points"),
        is_staff=True,
        permissions=(
            "order.view_order",
            "order.change_order",
            "reviews.view_productreview",
            "reviews.change_productreview",
            "catalogue.view_product",
            "auth.view_user",
            "oscar_loyalty.view_member",
            "oscar_loyalty.view_entry",
            "oscar_loyalty.view_adjustment",
            "oscar_loyalty.add_adjustment",
            "oscar_loyalty.view_hold",
            "oscar_loyalty.change_hold",
            "oscar_loyalty.view_membermerge",
            "oscar_loyalty.add_membermerge",
            "oscar_loyalty.view_return",
            "oscar_loyalty.handle_returns",
            "oscar_loyalty.handle_refund",
            "oscar_loyalty.view_withdrawal",
            "oscar_loyalty.view_goodwill",
            "oscar_loyalty.add_goodwill",
        ),
    ),
    Person("leitung", "Ruth", "Albers", _("Manager: everything"), is_staff=True, is_superuser=True),
)


def are_logins_shown() -> bool:
    """Demo logins are shown only where the settings say so, which is in the sandbox."""
    return bool(getattr(settings, "SANDBOX_SHOW_LOGINS", False))


def describe_logins() -> str:
    """The demo logins as lines of plain text, for a terminal."""
    width = max(len(person.email) for person in PEOPLE)
    lines = [f"  {person.email:<{width}}  {person.role}" for person in PEOPLE]
    return "\n".join([f"Demo logins (password for all: {PASSWORD})", *lines])
