"""Since when a credential fails: the first failure that no success has followed."""

from django.db import migrations, models
from django.db.models import F, Q


def from_last_error(apps, schema_editor):
    """For credentials that fail now the last error is the earliest that is known."""
    credentials = apps.get_model("omaccess", "IamCredential").objects
    failing = Q(last_success_at=None) | Q(last_success_at__lt=F("last_error_at"))
    credentials.filter(failing, last_error_at__isnull=False).update(failing_since_at=F("last_error_at"))


class Migration(migrations.Migration):
    dependencies = [("omaccess", "0004_roles")]

    operations = [
        migrations.AddField(
            model_name="iamcredential",
            name="failing_since_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="The first failure that no success has followed.",
                null=True,
                verbose_name="failing since",
            ),
        ),
        migrations.RunPython(from_last_error, migrations.RunPython.noop),
    ]
