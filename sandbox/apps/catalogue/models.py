"""Oscar's catalogue; ``translation.py`` adds the German and English columns."""

from oscar.apps.catalogue.models import *  # noqa: F403
