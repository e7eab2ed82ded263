from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("oscar_loyalty", "0010_undone_returns"),
    ]

    operations = [
        migrations.AddField(
            model_name="withdrawal",
            name="finding",
            field=models.CharField(
                blank=True,
                choices=[
                    ("", "not looked at yet"),
                    ("NO_ORDER", "no order with this number and address"),
                    ("SEVERAL", "fits several orders"),
                    ("PART", "names some of the goods in words"),
                    ("LATE", "declared after the period"),
                    ("REFUSED", "could not become a return on its own"),
                ],
                default="",
                max_length=16,
                verbose_name="why it waits",
            ),
        ),
        migrations.AddField(
            model_name="withdrawal",
            name="handled_by",
            field=models.CharField(
                blank=True, help_text="system, user:<id>", max_length=64, verbose_name="by"
            ),
        ),
        migrations.AddField(
            model_name="withdrawal",
            name="lines",
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name="withdrawal",
            name="user_id",
            field=models.PositiveBigIntegerField(blank=True, null=True),
        ),
    ]
