"""Everything that a shop mounts: ``path("", include("oscar_loyalty.urls"))``."""

from typing import Any

from django.apps import apps
from django.urls import include, path

urlpatterns: list[Any] = [
    path("api/loyalty/v1/", include("oscar_loyalty.rest_api.v1.urls")),
    path("loyalty/", include("oscar_loyalty.storefront.urls")),
]

if apps.is_installed("oscar_loyalty.dashboard"):
    dashboard: Any = apps.get_app_config("oscar_loyalty_dashboard")
    urlpatterns.append(path("dashboard/loyalty/", dashboard.urls))
