"""What happened, for those who ask instead of waiting for a webhook."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from .call import Call
from .forms import LIST, text, texts

LIST_EVENTS = {**LIST, "type": text, "types": texts}


def list_events(call: Call) -> dict[str, Any]:
    """``type`` may end in a star: ``charge.*``."""
    wanted = call.params.get("types") or [call.params.get("type", "*")]
    return call.listed("event", keep=lambda event: any(fnmatchcase(event["type"], kind) for kind in wanted))


def retrieve(call: Call, wanted: str) -> dict[str, Any]:
    return call.shown(call.get("event", wanted))
