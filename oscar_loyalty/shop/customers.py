"""Members as the shop knows them: by their name, address and orders."""

import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Exists, OuterRef, Q, QuerySet
from oscar.core.loading import get_model

from oscar_loyalty.members.models import Member
from oscar_loyalty.points.models import Account, Entry

#: Nobody's name is longer, and every word costs the database a search.
_MOST_WORDS = 6


def list_search_fields() -> list[str]:
    """What a customer can be found by, whatever kind of user the shop has: "user__email" …"""
    user = get_user_model()
    known = {field.name for field in user._meta.get_fields()}
    wanted = [user.USERNAME_FIELD, user.get_email_field_name(), "first_name", "last_name"]
    return [f"user__{name}" for name in dict.fromkeys(wanted) if name in known]


def search_members(members: QuerySet[Member], *, term: str) -> QuerySet[Member]:
    """
    Those of ``members`` whose name or e-mail address holds every word of ``term``, or whom ``term`` names
    exactly: by public id (theirs or their account's) or by the number of an order. All, when it is empty.
    """
    term = term.replace("\0", "").strip()
    if not term:
        return members
    by_name = Q()
    for word in term.split()[:_MOST_WORDS]:
        by_word = Q()
        for field in list_search_fields():
            by_word |= Q(**{f"{field}__icontains": word})
        by_name &= by_word
    orders = get_model("order", "Order").objects.filter(number=term, user__isnull=False)
    found = (
        by_name
        | Q(user_id__in=orders.values("user_id"))
        | Q(pk__in=Entry.objects.filter(order_ref=term).values("account__member_id"))
    )
    with suppress(ValueError):
        public_id = uuid.UUID(term)
        found |= Q(public_id=public_id) | Q(
            pk__in=Account.objects.filter(public_id=public_id).values("member_id")
        )
    return members.filter(found)


def find_member_named(name: str) -> Member | None:
    """The one member with a public id or a complete e-mail address; ``None`` when there are two."""
    name = name.replace("\0", "").strip()
    members = Member.objects.select_related("user")
    with suppress(ValueError):
        return members.filter(public_id=uuid.UUID(name)).first()
    found = list(members.filter(**{f"user__{get_user_model().get_email_field_name()}__iexact": name})[:2])
    return found[0] if len(found) == 1 else None


def get_email(member: Member) -> str:
    """The e-mail address of a member; empty when the person was deleted."""
    return str(getattr(member.user, get_user_model().get_email_field_name(), "") or "") if member.user else ""


def find_actor_names(refs: Iterable[str]) -> dict[str, str]:
    """Who booked: "user:7" → "Theresa Vogt". Nothing for whoever is no user (any more). One statement."""
    keys = {ref: ref.removeprefix("user:") for ref in refs if ref.startswith("user:")}
    keys = {ref: key for ref, key in keys.items() if key}
    with suppress(ValueError):
        users = get_user_model()._default_manager.in_bulk(list(set(keys.values()))) if keys else {}
        names = {str(pk): str(getattr(user, "get_full_name", str)() or user) for pk, user in users.items()}
        return {ref: names[key] for ref, key in keys.items() if key in names}
    return {}


def find_group_ids(user_ids: Iterable[int]) -> dict[int, frozenset[int]]:
    """Ids of the groups of customers as they are now: one statement; nothing where users have no groups."""
    user = get_user_model()
    if not any(field.name == "groups" for field in user._meta.many_to_many):
        return {}
    found: dict[int, set[int]] = {}
    rows = user._default_manager.filter(pk__in=set(user_ids), groups__isnull=False)
    for user_id, group_id in rows.values_list("pk", "groups"):
        found.setdefault(user_id, set()).add(group_id)
    return {user_id: frozenset(ids) for user_id, ids in found.items()}


def has_complete_profile(user: Any) -> bool:
    """
    Whether a customer has told their name and a default address. A shop that wants more names a function of
    its own (``OSCAR_LOYALTY_PROFILE_IS_COMPLETE``).
    """
    if not (getattr(user, "first_name", "") and getattr(user, "last_name", "")):
        return False
    return bool(_default_addresses().filter(user_id=user.pk).exists())


def with_complete_profile(members: QuerySet[Member]) -> QuerySet[Member]:
    """Those of the members of whom :func:`has_complete_profile` is true: one statement."""
    known = {field.name for field in get_user_model()._meta.get_fields()}
    if not {"first_name", "last_name"} <= known:
        return members.none()
    named = members.exclude(user__first_name="").exclude(user__last_name="")
    return named.filter(Exists(_default_addresses().filter(user_id=OuterRef("user_id"))))


def _default_addresses() -> QuerySet[Any]:
    addresses: QuerySet[Any] = get_model("address", "UserAddress").objects.filter(
        Q(is_default_for_shipping=True) | Q(is_default_for_billing=True)
    )
    return addresses
