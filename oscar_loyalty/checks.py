"""Bad settings become system checks, not a 500 at checkout. The rules live in ``shop/diagnosis``."""

from typing import Any

from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004
from django.utils import timezone

from oscar_loyalty.shop.diagnosis import SETTINGS_EXAMINATIONS, examine


@register("oscar_loyalty")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    now = timezone.now()
    return [
        (Error if finding.is_error else Warning)(
            finding.problem, hint=finding.fix, id=f"oscar_loyalty.{finding.code}"
        )
        for examination in SETTINGS_EXAMINATIONS
        for finding in examine(examination, now=now).findings
    ]
