"""The page on which the customer's bank would ask for a confirmation (3-D Secure)."""

from __future__ import annotations

import hmac
from html import escape
from string import Template
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from . import intents
from .call import Call
from .money import as_money
from .service import Service

WORDS = {
    "en": {
        "title": "Confirm your payment",
        "lead": "Your bank asks you to confirm this payment. This is a test: no money moves.",
        "amount": "Amount",
        "complete": "Complete",
        "fail": "Fail",
        "over": "This payment needs no confirmation any more. You can close this page.",
        "unknown": "There is no such payment.",
    },
    "de": {
        "title": "Zahlung bestätigen",
        "lead": "Ihre Bank bittet Sie, diese Zahlung zu bestätigen. Dies ist ein Test: Es fließt kein Geld.",
        "amount": "Betrag",
        "complete": "Bestätigen",
        "fail": "Ablehnen",
        "over": "Diese Zahlung muss nicht mehr bestätigt werden. Sie können diese Seite schließen.",
        "unknown": "Diese Zahlung gibt es nicht.",
    },
}
PAGE = Template("""<!doctype html>
<html lang="$language">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; background: #f3f4f6; color: #1f2937; }
main { max-width: 26rem; margin: 10vh auto; padding: 1.5rem; background: #fff; border-radius: .5rem; }
h1 { font-size: 1.25rem; margin-top: 0; }
form { display: flex; flex-wrap: wrap; gap: .75rem; }
button { flex: 1 1 9rem; min-height: 2.75rem; font: inherit; border: 1px solid #1d4ed8;
  border-radius: .375rem; background: #1d4ed8; color: #fff; cursor: pointer; }
button.quiet { background: #fff; color: #1d4ed8; }
button:focus-visible { outline: 3px solid #f59e0b; outline-offset: 2px; }
</style>
</head>
<body><main><h1>$title</h1>$content</main></body>
</html>
""")
FORM = Template("""<p>$lead</p><p>$amount: <strong>$money</strong></p>
<form method="post">
<button name="outcome" value="complete">$complete</button>
<button name="outcome" value="fail" class="quiet">$fail</button>
</form>""")


def language_of(accepted: str) -> str:
    """Return ``de`` or ``en``, whichever the browser likes better."""

    def liking(part: str) -> float:
        try:
            return float(part.partition(";q=")[2] or 1)
        except ValueError:
            return 0.0

    for part in sorted(accepted.lower().split(","), key=liking, reverse=True):
        language = part.strip()[:2]
        if language in WORDS:
            return language
    return "en"


def challenge(service: Service, path: str, language: str) -> tuple[int, str]:
    """Return status and page for ``/3d_secure/<intent>/<client secret>``."""
    words = WORDS[language]
    intent = _find(service.system_call(), path)
    if intent is None:
        return 404, _page(language, f"<p>{words['unknown']}</p>")
    if intent["status"] != "requires_action":
        return 200, _page(language, f"<p>{words['over']}</p>")
    money = as_money(intent["amount"], intent["currency"], language)
    return 200, _page(language, FORM.substitute(words, money=escape(money)))


def answer(service: Service, path: str, outcome: str, language: str) -> tuple[int, str]:
    """Take the customer's answer; return 303 and where to go on, or a status and a page."""
    intent = _find(service.system_call(), path)
    if intent is None:
        return challenge(service, path, language)
    if intent["status"] == "requires_action":
        intent = service.commit(
            lambda call: intents.answer_challenge(call, intent["id"], passed=outcome == "complete")
        )
    return_url = intent.get("_return_url")
    if not return_url:
        return challenge(service, path, language)
    passed = intent["status"] in ("succeeded", "requires_capture", "processing")
    return 303, _with_query(
        return_url,
        payment_intent=intent["id"],
        payment_intent_client_secret=intent["client_secret"],
        redirect_status="succeeded" if passed else "failed",
    )


def _find(call: Call, path: str) -> dict[str, Any] | None:
    intent_id, _, secret = path.removeprefix("/3d_secure/").partition("/")
    intent = call.store.find("payment_intent", intent_id)
    known = intent and hmac.compare_digest(intent["client_secret"].encode(), secret.encode())
    return intent if known else None


def _page(language: str, content: str) -> str:
    return PAGE.substitute(language=language, title=WORDS[language]["title"], content=content)


def _with_query(url: str, **more: str) -> str:
    parts = urlsplit(url)
    query = [
        (name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in more
    ]
    return urlunsplit(parts._replace(query=urlencode([*query, *more.items()])))
