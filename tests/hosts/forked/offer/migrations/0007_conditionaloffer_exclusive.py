from django.db import migrations


class Migration(migrations.Migration):
    """Nothing changes; Oscar's own apps depend on this name."""

    dependencies = [("offer", "0002_people")]
    operations = []
