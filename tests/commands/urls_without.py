"""A shop that forgot the programme's line."""

urlpatterns = []
