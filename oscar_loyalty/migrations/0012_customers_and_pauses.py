from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("oscar_loyalty", "0011_withdrawals"),
    ]

    operations = [
        migrations.AddField(
            model_name="cardpayment",
            name="customer_ref",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The provider's id of the customer, where it has one.",
                max_length=255,
            ),
        ),
        migrations.AddField(
            model_name="cardpayment",
            name="is_live",
            field=models.BooleanField(
                help_text="Whether real money moves; empty: the provider does not say.", null=True
            ),
        ),
        migrations.AddField(
            model_name="waitingorder",
            name="stopped_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
