"""What tests of the customer's doors ask for: callers, guests with a link, pictures."""

from io import BytesIO
from typing import Any

from django.test import Client
from django.utils import timezone
from PIL import Image
from rest_framework.test import APIClient

from oscar_loyalty.flows.return_access import make_token
from oscar_loyalty.shop.order_owners import get_owned_order

ROOT = "/api/loyalty/v1/"
BACKEND = "django.contrib.auth.backends.ModelBackend"


def api_of(user: Any = None, *, token: str = "") -> APIClient:
    client = APIClient(headers={"X-Loyalty-Return-Token": token} if token else None)
    if user is not None:
        client.force_login(user, backend=BACKEND)
    return client


def browser_of(user: Any = None) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user, backend=BACKEND)
    return client


def make_guests(order: Any, *, email: str = "guest@example.com") -> str:
    """Make it the order of a guest and return the token of their link."""
    type(order).objects.filter(pk=order.pk).update(user=None, guest_email=email)
    order.refresh_from_db()
    return make_token(order=get_owned_order(order_id=order.pk), now=timezone.now())


def make_picture(
    *, size: tuple[int, int] = (2400, 1200), kind: str = "JPEG", turned: bool = False, mode: str = "RGB"
) -> bytes:
    """A picture with a place and a camera in its metadata."""
    picture = Image.new(mode, size, "red")
    exif = picture.getexif()
    exif[0x010F] = "SecretCamera"
    if turned:
        exif[0x0112] = 6
    content = BytesIO()
    picture.save(content, format=kind, exif=exif)
    return content.getvalue()


def wanted(order: Any, quantity: int = 2, **values: Any) -> dict[str, Any]:
    line = order.lines.order_by("pk").first()
    return {"lines": [{"line": line.pk, "quantity": quantity, **values}]}
