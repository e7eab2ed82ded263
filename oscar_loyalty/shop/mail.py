"""Mail to customers through Oscar's Dispatcher, in their language, editable by staff like Oscar's own."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sites.models import Site
from django.core.mail import send_mail
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.urls import reverse
from django.utils import translation
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _
from oscar.core.loading import get_class, get_model

from oscar_loyalty.conf import loyalty_settings

#: Kinds of mail by their code in Oscar, under which staff edit their texts in the dashboard.
MAIL_TYPES = {
    "LOYALTY_EXPIRY_WARNING": _("Loyalty points expire soon"),
    "LOYALTY_TIER_WARNING": _("Loyalty tier will be lost"),
    "LOYALTY_TIER_REACHED": _("Loyalty tier reached"),
    "LOYALTY_CLAIM": _("Loyalty points of a guest order wait"),
    "LOYALTY_LATE_DELIVERY": _("An order did not arrive on the promised day"),
    "LOYALTY_GOODWILL": _("Goodwill for an order"),
    "LOYALTY_RETURN_LABEL": _("Label of a return"),
    "LOYALTY_RETURN_NO_LABEL": _("Address of a return whose label is not ready"),
    "LOYALTY_RETURN_REQUESTED": _("Receipt of a return"),
    "LOYALTY_RETURN_RECEIVED": _("Goods of a return have arrived"),
    "LOYALTY_RETURN_PARTLY": _("Return accepted in part"),
    "LOYALTY_RETURN_REFUNDED": _("Refund of a return sent"),
    "LOYALTY_RETURN_REFUND_FAILED": _("Refund of a return failed"),
    "LOYALTY_RETURN_SETTLED": _("Return completed"),
    "LOYALTY_RETURN_REJECTED": _("Return rejected"),
    "LOYALTY_RETURN_CANCELLED": _("Return cancelled"),
    "LOYALTY_RETURN_LINK": _("Link with which a guest returns an order"),
    "LOYALTY_WITHDRAWAL_RECEIPT": _("Receipt of a withdrawal"),
}


#: Name, content and type of a file.
Attachment = tuple[str, bytes, str]


class MailNotSent(RuntimeError):
    """The message has no recipient or no text; nothing was sent."""


def send_to_customer(
    *,
    user_id: int | None,
    code: str,
    context: dict[str, Any],
    links: dict[str, str],
    attachments: Sequence[Attachment] = (),
    language: str = "",
) -> None:
    """
    Send the message of a communication type to a customer, in the language that they have chosen, else in
    ``language``, else in that of the shop. ``links`` maps names in the template to URL
    names; they become whole URLs in the language of the mail. What the mail server raises is passed on.

    :raises MailNotSent: no such customer, no address, or the message has no text
    """
    customers = get_user_model().objects.filter(is_active=True)
    user = None if user_id is None else customers.filter(pk=user_id).first()
    if user is None or not user.email:
        raise MailNotSent(f"{code}: no address")
    dispatcher = get_class("communication.utils", "Dispatcher")()
    base_url = _base_url()
    with translation.override(_language_of(user) or language or settings.LANGUAGE_CODE):
        urls = {name: base_url + reverse(view) for name, view in links.items()}
        messages = _messages(dispatcher, code, {"user": user, "base_url": base_url, **urls, **context})
        dispatcher.dispatch_user_messages(user, messages, attachments=attachments)


def send_to_guest(
    *, address: str, language: str, code: str, context: dict[str, Any], claim_token: str
) -> None:
    """
    Send the message of a communication type to an address that is no customer's, with a link to claim an
    order. What the mail server raises is passed on.

    :raises MailNotSent: the message has no text
    """
    dispatcher = get_class("communication.utils", "Dispatcher")()
    base_url = _base_url()
    with translation.override(language or settings.LANGUAGE_CODE):
        if loyalty_settings.claim_url:
            claim_url = loyalty_settings.claim_url.replace("{token}", claim_token)
        else:
            claim_url = base_url + reverse("loyalty:claim", args=[claim_token])
        links = {"claim_url": claim_url, "programme_url": base_url + reverse("loyalty:programme")}
        messages = _messages(dispatcher, code, {"base_url": base_url, **links, **context})
        dispatcher.dispatch_anonymous_messages(address, messages)


def send_to_address(
    *,
    address: str,
    language: str,
    code: str,
    context: dict[str, Any],
    attachments: Sequence[Attachment] = (),
) -> None:
    """
    Send the message of a communication type to an address, whoever's it is. What the mail server raises is
    passed on.

    :raises MailNotSent: no address, or the message has no text
    """
    if not address:
        raise MailNotSent(f"{code}: no address")
    dispatcher = get_class("communication.utils", "Dispatcher")()
    with translation.override(language or settings.LANGUAGE_CODE):
        messages = _messages(dispatcher, code, {"base_url": _base_url(), **context})
        dispatcher.dispatch_anonymous_messages(address, messages, attachments=attachments)


def make_url(view: str, *, language: str, **arguments: Any) -> str:
    """A whole URL of a page for a mail, in the language of the mail."""
    with translation.override(language or settings.LANGUAGE_CODE):
        return _base_url() + reverse(view, kwargs=arguments)


def send_about_order(*, user_id: int | None, guest_email: str, code: str, context: dict[str, Any]) -> None:
    """
    Send the message of a communication type to whoever placed an order: in the language of the customer,
    or in that of the shop to a guest's address. What the mail server raises is passed on.

    :raises MailNotSent: nobody to send it to, or the message has no text
    """
    if user_id is not None:
        links = {"my_points_url": "loyalty:my-points"}
        send_to_customer(user_id=user_id, code=code, context=context, links=links)
        return
    if not guest_email:
        raise MailNotSent(f"{code}: no address")
    dispatcher = get_class("communication.utils", "Dispatcher")()
    with translation.override(settings.LANGUAGE_CODE):
        messages = _messages(dispatcher, code, {"base_url": _base_url(), **context})
        dispatcher.dispatch_anonymous_messages(guest_email, messages)


def _base_url() -> str:
    return loyalty_settings.base_url or f"https://{Site.objects.get_current().domain}"


def _messages(dispatcher: Any, code: str, context: dict[str, Any]) -> Any:
    messages = dispatcher.get_messages(code, context)
    if not (messages["subject"] and (messages["body"] or messages["html"])):
        raise MailNotSent(f"{code}: no text")
    return messages


def ensure_mail_types() -> int:
    """Let staff edit our mails in Oscar's dashboard; return how many kinds were made. Safe to repeat."""
    model = get_model("communication", "CommunicationEventType")
    made = 0
    with translation.override(settings.LANGUAGE_CODE):
        for code, name in MAIL_TYPES.items():
            # No text is stored: Oscar then takes the template files, so that updates of ours arrive.
            _row, created = model.objects.get_or_create(
                code=code, defaults={"name": str(name), "category": model.USER_RELATED}
            )
            made += created
    return made


def has_text(code: str) -> bool:
    """Whether a kind of mail has a subject and a body, from the dashboard or from template files."""
    model = get_model("communication", "CommunicationEventType")
    kind = model.objects.filter(code=code).first() or model(code=code)
    name = code.lower()
    stored = [kind.email_subject_template, kind.email_body_template]
    files = [kind.email_subject_template_file % name, kind.email_body_template_file % name]
    return all(
        bool(text) if text is not None else _exists(file) for text, file in zip(stored, files, strict=True)
    )


def _exists(template: str) -> bool:
    try:
        get_template(template)
    except TemplateDoesNotExist:
        return False
    return True


def _language_of(user: Any) -> str:
    path = loyalty_settings.customer_language
    known = import_string(path)(user) if path else getattr(user, "language", None)
    return str(known or "")


def send_to_staff(*, subject: str, body: str) -> int:
    """Tell the shop's staff in the language of the settings; return how many were told. What the mail
    server raises is passed on."""
    addresses = loyalty_settings.staff_mail or [
        one if isinstance(one, str) else one[1] for one in settings.MANAGERS
    ]
    if addresses:
        send_mail(subject, body, None, list(addresses))
    return len(addresses)
