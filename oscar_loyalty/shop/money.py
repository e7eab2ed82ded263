from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

from django.db import connection


def as_stored(amount: Decimal) -> Decimal:
    """
    Money as the columns of an order will keep it: in hundredths. Prices can have four decimal places
    before that; what a preview adds up must be what the booking will read. Django rounds half to even
    where it writes the number itself; PostgreSQL rounds half up.
    """
    rounding = ROUND_HALF_UP if connection.vendor == "postgresql" else ROUND_HALF_EVEN
    return Decimal(amount).quantize(Decimal("0.01"), rounding)
