"""
Oscar's own migrations of the catalogue, followed by this shop's.

A fork usually copies Oscar's files. Looking for them where they are keeps this folder to the one
migration that is ours.
"""

from oscar.apps.catalogue import migrations as oscars

__path__ = [*__path__, *oscars.__path__]
