"""The head of the chain, and the triggers that keep the audit append-only."""

from django.db import migrations

from omaccess.audit import triggers
from omaccess.models.audit import GENESIS_HASH


def create_head(apps, schema_editor):
    apps.get_model("omaccess", "AuditHead").objects.create(id=1, position=0, hash=GENESIS_HASH)


def remove_head(apps, schema_editor):
    apps.get_model("omaccess", "AuditHead").objects.all().delete()


def install(apps, schema_editor):
    triggers.install(schema_editor)


def remove(apps, schema_editor):
    triggers.remove(schema_editor)


class Migration(migrations.Migration):
    dependencies = [("omaccess", "0001_initial")]

    operations = [
        migrations.RunPython(create_head, remove_head),
        migrations.RunPython(install, remove),
    ]
