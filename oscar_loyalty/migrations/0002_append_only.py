from django.db import migrations

from oscar_loyalty.points.append_only import InstallAppendOnlyTriggers


class Migration(migrations.Migration):
    dependencies = [("oscar_loyalty", "0001_initial")]

    operations = [InstallAppendOnlyTriggers("Entry", "Posting", "EarnedLine")]
