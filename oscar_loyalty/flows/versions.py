"""A draft comes into force: looked through once more, under the lock under which it is published."""

from datetime import datetime

from django.db import transaction

from oscar_loyalty.flows.version_checks import Finding, Severity, lint_version
from oscar_loyalty.flows.version_diff import Change, compare_versions
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes import services
from oscar_loyalty.programmes.models import ProgrammeVersion

__all__ = [
    "Change",
    "Finding",
    "HasErrors",
    "Severity",
    "compare_versions",
    "find_replaced",
    "lint_version",
    "publish_draft",
]


class HasErrors(ValueError):
    """The version is not put into force: ``findings`` say why."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("; ".join(finding.text for finding in findings))
        self.findings = findings


def publish_draft(*, version_id: int, active_from: datetime | None, now: datetime) -> ProgrammeVersion:
    """
    Let a draft come into force at a moment, or at once without one.

    :raises HasErrors: something is wrong with it; nothing was written
    :raises NotADraft: it is none any more, perhaps because of a double click
    :raises MomentTaken: another version comes into force at that moment
    """
    with transaction.atomic():
        # Nobody edits it between the look and the publication.
        try:
            version = services.lock_editable_version(version_id=version_id, now=now)
        except services.VersionInForce as error:
            raise services.NotADraft(version_id) from error
        if version.active_from is not None:
            raise services.NotADraft(version_id)
        version.active_from = active_from
        errors = [finding for finding in lint_version(version, now=now) if finding.is_error]
        if errors:
            raise HasErrors(errors)
        return services.schedule_version(version_id=version_id, active_from=active_from or now, now=now)


def find_replaced(version: ProgrammeVersion, *, now: datetime) -> ProgrammeVersion | None:
    """What a version follows, or a draft would follow if it came into force now."""
    at = version.active_from or now
    published = programmes.list_published(programme_id=version.programme_id)
    if version.active_from is not None:
        return published.filter(active_from__lt=at).first()
    return published.filter(active_from__lte=at).first()
