"""
django-oscar-api's checkout with card payment.

``OSCARAPI_OVERRIDE_MODULES = ["oscar_loyalty.rest_api.oscarapi"]`` puts it in place of the one that asks
for no money.
"""
