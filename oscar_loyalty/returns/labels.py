"""Who makes return labels: the app's own provider, or one of a carrier that the settings name."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from django.utils.module_loading import import_string

from oscar_loyalty.conf import loyalty_settings


@dataclass(frozen=True, kw_only=True)
class LabelRequest:
    """
    What a provider needs to know. ``reference`` is the same for every try at one label, so that a carrier
    that was asked twice makes one. Addresses are lines as they are printed; days are told in ``time_zone``.
    """

    reference: str
    number: str
    order_number: str
    sender: tuple[str, ...]
    recipient: tuple[str, ...]
    language: str
    valid_until: datetime
    time_zone: str


@dataclass(frozen=True, kw_only=True)
class Label:
    """``pdf`` to print; ``qr_text`` is what the code shows at a counter; empty where the carrier has none."""

    pdf: bytes
    qr_text: str = ""
    tracking_code: str = ""
    valid_until: datetime | None = None


class LabelUnavailable(Exception):
    """The provider gives no label now, and the message says why, for staff. It is asked again later."""


class LabelProvider(Protocol):
    def make_label(self, wanted: LabelRequest) -> Label:
        """:raises LabelUnavailable: not now"""


def get_provider() -> LabelProvider:
    """:raises LabelUnavailable: the setting names none that can be had, or a library of it is missing"""
    try:
        provider: LabelProvider = import_string(loyalty_settings.label_provider)()
    except ImportError as error:
        raise LabelUnavailable(str(error)) from error
    return provider
