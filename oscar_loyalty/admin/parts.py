"""What belongs to a version of the programme is written only while that version may still change."""

from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.programmes.services import VersionInForce, lock_editable_version


class PartOfVersionMixin:
    """For a ``ModelAdmin``. While a change is saved nobody can put its version into force."""

    def version_id_of(self, part: Any) -> int:
        return int(part.version_id)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        with transaction.atomic():
            self._lock_version(request, object_id)
            answer: HttpResponse = super().changeform_view(request, object_id, *args, **kwargs)  # type: ignore[misc]
            return answer

    def delete_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        with transaction.atomic():
            self._lock_version(request, object_id)
            answer: HttpResponse = super().delete_view(request, object_id, *args, **kwargs)  # type: ignore[misc]
            return answer

    def _lock_version(self, request: HttpRequest, object_id: str | None) -> None:
        if request.method != "POST":
            return
        if object_id is None:
            chosen = request.POST.get("version", "")
            version_id = int(chosen) if chosen.isascii() and chosen.isdecimal() else 0
        else:
            part = self.get_object(request, unquote(object_id))  # type: ignore[attr-defined]
            version_id = self.version_id_of(part) if part is not None else 0
        if not ProgrammeVersion.objects.filter(pk=version_id).exists():
            return  # The page says what is wrong with it.
        try:
            lock_editable_version(version_id=version_id, now=timezone.now())
        except VersionInForce as error:
            raise PermissionDenied from error
