from django.contrib import admin

from tests.hosts.forked.people.models import Person


@admin.register(Person)
class PersonAdmin(admin.ModelAdmin):
    list_display = ["email", "company"]
    search_fields = ["email"]
