from oscar.apps.checkout.forms import *  # noqa: F403
from oscar.apps.checkout.forms import ShippingAddressForm as OscarShippingAddressForm

from oscar_loyalty.shop.delivery import ParcelLockerAddressMixin


class ShippingAddressForm(ParcelLockerAddressMixin, OscarShippingAddressForm):
    """Tells what an address of a Packstation lacks."""
