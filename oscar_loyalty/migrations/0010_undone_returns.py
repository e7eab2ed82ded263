"""Returns may be undone: kinds of entries and a code of postings for it. Only choices and texts change."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('oscar_loyalty', '0009_refunds'),
    ]

    operations = [
        migrations.AlterField(
            model_name='earnedline',
            name='points',
            field=models.BigIntegerField(help_text='Earned, taken back or given again: the entry says which.'),
        ),
        migrations.AlterField(
            model_name='entry',
            name='kind',
            field=models.CharField(choices=[('EARN', 'earned'), ('ACTIVATE', 'became spendable'), ('HOLD', 'reserved'), ('RELEASE', 'reservation ended'), ('SPEND', 'spent'), ('SPEND_RETURN', 'spent points returned'), ('SPEND_AGAIN', 'returned points spent again'), ('CLAWBACK', 'taken back'), ('CLAWBACK_UNDONE', 'given again'), ('EXPIRE', 'expired'), ('ADJUST_UP', 'credited by staff'), ('ADJUST_DOWN', 'deducted by staff'), ('REPAY', 'set off against a deficit'), ('WRITE_OFF', 'deficit written off'), ('MOVE_OUT', 'moved out'), ('MOVE_IN', 'moved in'), ('CONVERT', 'converted to another currency'), ('FORFEIT', 'given up on leaving')], max_length=16, verbose_name='kind'),
        ),
        migrations.AlterField(
            model_name='posting',
            name='credit',
            field=models.CharField(choices=[('EXP', 'programme expense'), ('PND', 'pending'), ('AVL', 'available'), ('HLD', 'held'), ('RED', 'redeemed'), ('BRK', 'breakage'), ('DBT', 'member deficit'), ('TBK', 'taken back'), ('MOV', 'moves between accounts'), ('FXC', 'currency conversion')], max_length=3),
        ),
        migrations.AlterField(
            model_name='posting',
            name='debit',
            field=models.CharField(choices=[('EXP', 'programme expense'), ('PND', 'pending'), ('AVL', 'available'), ('HLD', 'held'), ('RED', 'redeemed'), ('BRK', 'breakage'), ('DBT', 'member deficit'), ('TBK', 'taken back'), ('MOV', 'moves between accounts'), ('FXC', 'currency conversion')], max_length=3),
        ),
    ]
