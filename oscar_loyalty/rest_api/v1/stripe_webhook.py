"""Where Stripe tells us that something happened. The one view without CSRF token: it has a signature."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from ...payments import services
from ...payments.gateway import ForgedEvent


@csrf_exempt
@require_POST
@transaction.non_atomic_requests
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """Answer 200 when the event is stored (again), 400 when its signature is not right."""
    try:
        services.receive_event(
            payload=request.body,
            signature=request.headers.get("Stripe-Signature", ""),
            now=timezone.now(),
        )
    except ForgedEvent:
        return HttpResponse(status=400)
    return HttpResponse(status=200)
