from django.apps import apps
from django.conf import settings
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path, re_path
from django.views.i18n import JavaScriptCatalog
from django.views.static import serve

from sandbox.demo.views import HomeView

urlpatterns = [
    path("i18n/", include("django.conf.urls.i18n")),
    path("jsi18n/", JavaScriptCatalog.as_view(), name="javascript-catalog"),
    path("api/", include("oscarapi.urls")),
    # Pictures are served by Django here, because the sandbox has no web server in front of it.
    re_path(r"^media/(?P<path>.*)$", serve, {"document_root": settings.MEDIA_ROOT}),
]

if settings.LOYALTY:
    urlpatterns.insert(0, path("api/loyalty/v1/", include("oscar_loyalty.rest_api.v1.urls")))

loyalty_pages = []
if settings.LOYALTY:
    loyalty_pages = [
        path("loyalty/", include("oscar_loyalty.storefront.urls")),
        path("dashboard/loyalty/", apps.get_app_config("oscar_loyalty_dashboard").urls),
    ]

pages = [
    *loyalty_pages,
    path("admin/", admin.site.urls),
    path("", HomeView.as_view(), name="shop-home"),
    path("", include(apps.get_app_config("oscar").urls[0])),
]

urlpatterns += i18n_patterns(*pages)
