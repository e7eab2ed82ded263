import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One mistake. ``code``: E001 breaks something, W001 is worth a thought."""

    code: str
    problem: str
    fix: str

    @property
    def is_error(self) -> bool:
        return self.code.startswith("E")


@dataclass(frozen=True)
class Examination:
    """``title`` says what is fine when ``look`` finds nothing."""

    title: str
    look: Callable[[datetime], Iterable[Finding]]


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    title: str
    findings: tuple[Finding, ...]

    @property
    def status(self) -> str:
        """ok, warning or error"""
        if not self.findings:
            return "ok"
        return "error" if any(finding.is_error for finding in self.findings) else "warning"


def examine(examination: Examination, *, now: datetime) -> Diagnosis:
    """Look, and call it a finding when looking itself fails."""
    try:
        findings = tuple(examination.look(now))
    except Exception as error:
        logger.debug("%s could not be examined", examination.title, exc_info=True)
        findings = (
            Finding(
                code="E099",
                problem=f"This could not be examined: {type(error).__name__}: {error}",
                fix="Put right what the message says, then run loyalty_doctor again.",
            ),
        )
    return Diagnosis(title=examination.title, findings=findings)
