"""The API without its transport: who calls, which route, stored answers, faults, and the call itself."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import API_VERSION, chaos, charges, clock, customers, events, intent_fields, intents, refunds, webhooks
from .call import Call
from .errors import ApiError, refuse
from .forms import Field, decode, read
from .store import Store, new_id

DAY = 24 * 60 * 60
LONGEST_KEY = 255


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    handler: Callable[..., dict[str, Any]]
    fields: dict[str, Field] = field(default_factory=dict)
    for_browsers: bool = False

    def match(self, path: str) -> re.Match[str] | None:
        return re.fullmatch(self.path.replace("{id}", "([A-Za-z0-9_]+)"), path)


ROUTES = (
    Route("POST", "/v1/customers", customers.create_customer, customers.CREATE_CUSTOMER),
    Route("GET", "/v1/customers/{id}", customers.retrieve_customer),
    Route(
        "POST",
        "/v1/payment_methods",
        customers.create_payment_method,
        customers.CREATE_PAYMENT_METHOD,
        for_browsers=True,
    ),
    Route("GET", "/v1/payment_methods/{id}", customers.retrieve_payment_method),
    Route("POST", "/v1/payment_methods/{id}/attach", customers.attach_payment_method, customers.ATTACH),
    Route("POST", "/v1/payment_intents", intents.create, intent_fields.CREATE),
    Route("GET", "/v1/payment_intents", intents.list_intents, intent_fields.LIST_INTENTS),
    Route("GET", "/v1/payment_intents/{id}", intents.retrieve, intent_fields.RETRIEVE, for_browsers=True),
    Route("POST", "/v1/payment_intents/{id}", intents.update, intent_fields.UPDATE),
    Route(
        "POST", "/v1/payment_intents/{id}/confirm", intents.confirm, intent_fields.CONFIRM, for_browsers=True
    ),
    Route("POST", "/v1/payment_intents/{id}/capture", intents.capture, intent_fields.CAPTURE),
    Route("POST", "/v1/payment_intents/{id}/cancel", intents.cancel, intent_fields.CANCEL),
    Route("GET", "/v1/charges", charges.list_charges, charges.LIST_CHARGES),
    Route("GET", "/v1/charges/{id}", charges.retrieve),
    Route("POST", "/v1/refunds", refunds.create, refunds.CREATE),
    Route("GET", "/v1/refunds", refunds.list_refunds, refunds.LIST_REFUNDS),
    Route("GET", "/v1/refunds/{id}", refunds.retrieve),
    Route("POST", "/v1/refunds/{id}", refunds.update, refunds.UPDATE),
    Route("POST", "/v1/refunds/{id}/cancel", refunds.cancel),
    Route("GET", "/v1/events", events.list_events, events.LIST_EVENTS),
    Route("GET", "/v1/events/{id}", events.retrieve),
)
TIMERS: dict[str, Callable[[Call, str], Any]] = {
    "expire_authorisation": intents.expire_authorisation,
    "refund_pending": lambda call, wanted: refunds.settle(call, wanted, "succeeded"),
    "refund_fails": lambda call, wanted: refunds.settle(call, wanted, "failed"),
}


@dataclass
class Request:
    method: str
    path: str
    query: str
    body: str
    headers: Any  # a mapping that ignores case


@dataclass
class Answer:
    """``dropped``: the work is done, but the caller is to hear nothing."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    dropped: bool = False


class Service:
    def __init__(self, store: Store, messenger: webhooks.Messenger, url: str) -> None:
        self.store = store
        self.url = url
        self._messenger = messenger
        self._keys_in_use: set[str] = set()
        self._keys_lock = threading.Lock()

    def answer(self, request: Request) -> Answer:
        """Answer one call under ``/v1``. Never raises for anything that the caller did."""
        request_id = new_id("req", 14)
        headers = {
            "Request-Id": request_id,
            "Stripe-Version": request.headers.get("Stripe-Version") or API_VERSION,
        }
        if key := request.headers.get("Idempotency-Key"):
            headers["Idempotency-Key"] = key
        try:
            answer = self._answer(request, request_id, key)
        except ApiError as error:
            answer = Answer(error.status, {"error": error.error})
        if answer.status >= 400:
            answer.body["error"].setdefault(
                "request_log_url", f"https://dashboard.stripe.com/test/logs/{request_id}"
            )
        answer.headers = {**headers, **answer.headers}
        return answer

    def system_call(self) -> Call:
        """A call that the server makes by itself, in the caller's transaction."""
        return Call(self.store, {}, clock.now(self.store), self.url)

    def commit(self, work: Callable[[Call], Any]) -> Any:
        """Do ``work`` in one transaction, together with the queueing of the events that it announces."""
        with self.store.transaction():
            call = self.system_call()
            result = work(call)
            self._queue(call)
        self._messenger.nudge()
        return result

    def nudge(self) -> None:
        self._messenger.nudge()

    def run_timers(self) -> None:
        now = clock.now(self.store)
        if self.store.sql("SELECT 1 FROM timers WHERE due <= ? LIMIT 1", now):
            self.commit(
                lambda call: [
                    TIMERS[action](call, wanted) for action, wanted in self.store.take_due_timers(now)
                ]
            )

    def _answer(self, request: Request, request_id: str, key: str | None) -> Answer:
        params = decode(request.query if request.method == "GET" else request.body)
        publishable = _is_publishable(request.headers.get("Authorization", ""), params.pop("key", ""))
        route, ids = _find_route(request)
        if publishable and not route.for_browsers:
            raise refuse(
                "This API call cannot be made with a publishable API key. Please use a secret API key. You"
                " can find a list of your API keys at https://dashboard.stripe.com/account/apikeys.",
                code="secret_key_required",
                status=403,
            )
        self.run_timers()
        with self.store.transaction():
            struck = chaos.of_call(self.store, request.method, request.path)
        if "rate_limit" in struck:
            raise refuse(
                "Too many requests hit the API too quickly. We recommend an exponential backoff of your"
                " requests.",
                code="rate_limit",
                status=429,
            )
        fingerprint = hashlib.sha256(
            json.dumps([request.method, request.path, publishable, params], sort_keys=True).encode()
        ).hexdigest()
        call = Call(
            self.store,
            {},
            clock.now(self.store),
            self.url,
            request.path,
            request_id,
            key,
            publishable,
        )

        def work() -> Answer:
            if "slow" in struck:
                time.sleep(struck["slow"]["seconds"])
            return self._perform(call, route, ids, params, struck, fingerprint)

        answer = self._once(key, fingerprint, work) if key and request.method == "POST" else work()
        answer.dropped = "drop_after_commit" in struck
        self._messenger.nudge()
        return answer

    def _once(self, key: str, fingerprint: str, work: Callable[[], Answer]) -> Answer:
        """Do the work unless a stored answer exists; refuse the key while another call works under it."""
        if len(key) > LONGEST_KEY:
            raise refuse("Idempotency keys can have up to 255 characters.", kind="idempotency_error")
        with self._keys_lock:
            if key in self._keys_in_use:
                raise refuse(
                    "There is currently another in-progress request using this Stripe Idempotency key (that"
                    " probably means you submitted twice, and the other request is still going through):"
                    f" {key}. Please try again later.",
                    code="idempotency_key_in_use",
                    status=409,
                    kind="idempotency_error",
                )
            self._keys_in_use.add(key)
        try:
            return self._stored(key, fingerprint) or work()
        finally:
            with self._keys_lock:
                self._keys_in_use.discard(key)

    def _stored(self, key: str, fingerprint: str) -> Answer | None:
        self.store.sql("DELETE FROM replies WHERE created <= ?", clock.now(self.store) - DAY)
        rows = self.store.sql("SELECT * FROM replies WHERE key = ?", key)
        if not rows:
            return None
        if rows[0]["fingerprint"] != fingerprint:
            raise refuse(
                "Keys for idempotent requests can only be used with the same parameters they were first"
                f" used with. Try using a key other than '{key}' if you meant to execute a different"
                " request.",
                kind="idempotency_error",
            )
        replay = {"Idempotent-Replayed": "true", "Original-Request": rows[0]["request_id"]}
        return Answer(rows[0]["status"], json.loads(rows[0]["body"]), replay)

    def _perform(
        self,
        call: Call,
        route: Route,
        ids: tuple[str, ...],
        params: dict[str, Any],
        struck: dict[str, Any],
        fingerprint: str,
    ) -> Answer:
        # What is wrong before the work begins is not stored under the key.
        call.params = read(params, route.fields)
        with self.store.transaction():
            try:
                with self.store.attempt():
                    if "error_500" in struck:
                        raise refuse(
                            "An unknown error occurred. Please try again.", status=500, kind="api_error"
                        )
                    answer = Answer(200, route.handler(call, *ids))
            except ApiError as error:
                answer = Answer(error.status, {"error": error.error})
                if not error.keeps_changes:
                    call.events.clear()
            self._queue(call)
            began = "error_500" not in struck or struck["error_500"]["remember"]
            if call.idempotency_key and route.method == "POST" and began:
                self.store.sql(
                    "INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?)",
                    call.idempotency_key,
                    fingerprint,
                    call.now,
                    answer.status,
                    json.dumps(answer.body),
                    call.request_id,
                )
        return answer

    def _queue(self, call: Call) -> None:
        for event in call.events:
            webhooks.schedule(self.store, event)


def _find_route(request: Request) -> tuple[Route, tuple[str, ...]]:
    for route in ROUTES:
        if route.method == request.method and (match := route.match(request.path)):
            return route, match.groups()
    raise refuse(
        f"Unrecognized request URL ({request.method}: {request.path}). Please see https://stripe.com/docs"
        " or we can help at https://support.stripe.com/.",
        status=404,
    )


def _is_publishable(authorization: str, key_in_form: str) -> bool:
    """Tell the kind of key; refuse a call without a test key."""
    scheme, _, given = authorization.partition(" ")
    key = given.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(key, validate=True).decode().split(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = "invalid"
    if not key and key_in_form.startswith("pk_"):
        key = key_in_form
    if not key:
        raise refuse(
            "You did not provide an API key. You need to provide your API key in the Authorization header,"
            " using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            status=401,
        )
    for prefix in ("sk_test_", "pk_test_"):
        if key.startswith(prefix) and len(key) > len(prefix):
            return prefix == "pk_test_"
    raise refuse(f"Invalid API Key provided: {key[:7]}{'*' * 8}{key[-4:]}", status=401)
