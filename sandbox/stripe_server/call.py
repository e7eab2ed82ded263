"""One API call: what a handler is given, and what it uses to look up, announce and show objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import API_VERSION
from .errors import no_such, refuse
from .store import Store, new_id

# Fields that hold an id and become the object when the caller asks to expand them.
EXPANDABLE = {
    "latest_charge": "charge",
    "charge": "charge",
    "payment_intent": "payment_intent",
    "customer": "customer",
    "payment_method": "payment_method",
}


@dataclass
class Call:
    """``now`` is the server's time. ``publishable`` says that a browser calls, with the public key."""

    store: Store
    params: dict[str, Any]
    now: int
    url: str = ""
    path: str = ""
    request_id: str | None = None
    idempotency_key: str | None = None
    publishable: bool = False
    events: list[dict[str, Any]] = field(default_factory=list)

    def get(self, kind: str, wanted: str, *, param: str = "id", status: int = 404) -> dict[str, Any]:
        found = self.store.find(kind, wanted)
        if found is None:
            raise no_such(
                "PaymentMethod" if kind == "payment_method" else kind, wanted, param=param, status=status
            )
        return found

    def announce(self, kind: str, item: dict[str, Any], **previous: Any) -> None:
        """Record the event ``kind`` with ``item`` as it is now; ``previous`` holds old values."""
        data: dict[str, Any] = {"object": public(item)}
        if previous:
            data["previous_attributes"] = previous
        event = {
            "id": new_id("evt"),
            "object": "event",
            "account": None,
            "api_version": API_VERSION,
            "context": None,
            "created": self.now,
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": self.request_id, "idempotency_key": self.idempotency_key},
            "type": kind,
        }
        self.events.append(self.store.save(event))

    def shown(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return the object as the caller sees it, with what ``expand`` asks for."""
        answer = public(item)
        for path in self.params.get("expand", []):
            self._expand(answer, path.split("."), path)
        return answer

    def _expand(self, item: Any, names: list[str], path: str) -> None:
        if isinstance(item, list):
            for part in item:
                self._expand(part, names, path)
            return
        if not names or item is None:
            return
        name, *rest = names
        if isinstance(item, dict) and item.get("object") == "charge" and name == "refunds":
            item["refunds"] = refunds_of(self.store, item["id"])
        may_be_followed = name == "data" or name == "refunds" or name in EXPANDABLE
        if not isinstance(item, dict) or name not in item or not may_be_followed:
            raise refuse(f"This property cannot be expanded ({path}).", param="expand")
        if isinstance(item[name], str):
            item[name] = public(self.get(EXPANDABLE[name], item[name]))
        self._expand(item[name], rest, path)

    def listed(
        self, kind: str, *, keep: Callable[[dict[str, Any]], bool] = lambda item: True, **having: Any
    ) -> dict[str, Any]:
        """Return one page, newest first, of the objects to keep whose named fields have these values."""
        limit = self.params.get("limit", 10)
        if not 1 <= limit <= 100:
            bound = "greater than or equal to 1" if limit < 1 else "less than or equal to 100"
            raise refuse(f"This value must be {bound}.", code="parameter_invalid_integer", param="limit")
        having = {name: value for name, value in having.items() if value is not None}
        found = [item for item in self.store.newest_first(kind, **having) if keep(item)]
        for bound, value in self.params.get("created", {}).items():
            found = [item for item in found if WITHIN[bound](item["created"], value)]
        ids = [item["id"] for item in found]
        more = len(found) > limit
        if after := self.params.get("starting_after"):
            self.get(kind, after, param="starting_after", status=400)
            found = found[ids.index(after) + 1 :] if after in ids else []
            more = len(found) > limit
        elif before := self.params.get("ending_before"):
            self.get(kind, before, param="ending_before", status=400)
            found = found[: ids.index(before)] if before in ids else []
            more = len(found) > limit
            found = found[-limit:]
        return self.shown(as_list(found[:limit], self.path, has_more=more))


WITHIN = {
    "gt": lambda created, bound: created > bound,
    "gte": lambda created, bound: created >= bound,
    "lt": lambda created, bound: created < bound,
    "lte": lambda created, bound: created <= bound,
}


def as_list(items: list[dict[str, Any]], url: str, *, has_more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": [public(item) for item in items], "has_more": has_more, "url": url}


def refunds_of(store: Store, charge_id: str) -> dict[str, Any]:
    return as_list(store.newest_first("refund", charge=charge_id), f"/v1/charges/{charge_id}/refunds")


def public(item: dict[str, Any]) -> dict[str, Any]:
    """Return a copy without the server's own fields."""
    return {name: value for name, value in item.items() if not name.startswith("_")}
