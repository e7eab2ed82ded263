"""
The function of 0004 anew: it locks accounts before it reads their lots. Without that a booking that was
committed between the two could be settled from what the lots were before it.
"""

from importlib import import_module

from django.db import migrations

install = import_module("oscar_loyalty.migrations.0004_settling_functions").install


class Migration(migrations.Migration):
    dependencies = [("oscar_loyalty", "0012_customers_and_pauses")]

    operations = [migrations.RunPython(install, migrations.RunPython.noop)]
