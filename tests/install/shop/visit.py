"""Print status and text of pages, as a guest with one product in the basket sees them."""

import json
import sys

import django

django.setup()

from django.test import Client  # noqa: E402
from oscar.core.loading import get_model  # noqa: E402

client = Client(raise_request_exception=False)
product = get_model("catalogue", "Product").objects.get()
added = client.post(f"/basket/add/{product.pk}/", {"quantity": 1})
seen = {"add": {"status": added.status_code, "text": added.content.decode()}}
for path in sys.argv[1:]:
    page = client.get(product.get_absolute_url() if path == "product" else path, follow=True)
    seen[path] = {"status": page.status_code, "text": page.content.decode()}
print(json.dumps(seen))
