"""One product and one customer."""

from decimal import Decimal

from django.contrib.auth import get_user_model
from oscar.core.loading import get_model

partner = get_model("partner", "Partner").objects.create(name="Roastery")
product_class = get_model("catalogue", "ProductClass").objects.create(name="Coffee")
product = get_model("catalogue", "Product").objects.create(
    title="Beans", slug="beans", upc="1", product_class=product_class
)
product.stockrecords.create(
    partner=partner, partner_sku="1", price=Decimal("12.40"), price_currency="EUR", num_in_stock=100
)
get_user_model().objects.create_user("anna", "anna@example.com", "secret")
