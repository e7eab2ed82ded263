import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("offer", "__first__"),
        ("oscar_loyalty", "0006_award_with_several_rules"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="productaccess",
            name="loyalty_access_of_one",
        ),
        migrations.AddField(
            model_name="productaccess",
            name="range",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="offer.range",
                verbose_name="range of products",
            ),
        ),
        migrations.AddConstraint(
            model_name="productaccess",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("category_id__isnull", True), ("product_id__isnull", False), ("range__isnull", True)
                )
                | models.Q(
                    ("category_id__isnull", False), ("product_id__isnull", True), ("range__isnull", True)
                )
                | models.Q(
                    ("category_id__isnull", True), ("product_id__isnull", True), ("range__isnull", False)
                ),
                name="loyalty_access_of_one",
            ),
        ),
    ]
