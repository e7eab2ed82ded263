from django.conf import settings


def get_default_currency() -> str:
    """The currency in which the shop states amounts that belong to no basket and no order."""
    return str(settings.OSCAR_DEFAULT_CURRENCY)
