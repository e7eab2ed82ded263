from django.apps import apps
from django.urls import include, path

urlpatterns = [
    path("i18n/", include("django.conf.urls.i18n")),
    *([path("", include("oscar_loyalty.urls"))] if apps.is_installed("oscar_loyalty") else []),
    *([path("api/", include("oscarapi.urls"))] if apps.is_installed("oscarapi") else []),
    path("", include(apps.get_app_config("oscar").urls[0])),
]
