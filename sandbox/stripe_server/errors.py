"""Errors as Stripe words them: an HTTP status and a body of the form ``{"error": {...}}``."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An answer other than success. ``keeps_changes`` says whether what was written before it stays."""

    def __init__(self, status: int, error: dict[str, Any], *, keeps_changes: bool = False) -> None:
        super().__init__(error.get("message", ""))
        self.status = status
        self.error = error
        self.keeps_changes = keeps_changes


def refuse(
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    status: int = 400,
    kind: str = "invalid_request_error",
    **more: Any,
) -> ApiError:
    """Build the error to raise; fields without a value are left out, as Stripe does."""
    error = {"code": code, "message": message, "param": param, "type": kind, **more}
    if code:
        error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
    return ApiError(status, {name: value for name, value in sorted(error.items()) if value is not None})


def no_such(kind: str, wanted: str, *, param: str = "id", status: int = 404) -> ApiError:
    return refuse(f"No such {kind}: '{wanted}'", code="resource_missing", param=param, status=status)
