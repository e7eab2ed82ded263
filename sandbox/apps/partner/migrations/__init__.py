"""This fork changes no table: Oscar's own migrations of the app are used where they are."""

from oscar.apps.partner import migrations as oscars

__path__ = [*oscars.__path__]
