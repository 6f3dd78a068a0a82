"""The table of the embedded mode's cache. Harmless where Redis is used."""

from django.core.management import call_command
from django.db import migrations

TABLE = "portal_cache"


def create(apps, schema_editor):
    call_command("createcachetable", TABLE, database=schema_editor.connection.alias, verbosity=0)


def drop(apps, schema_editor):
    schema_editor.execute(f"DROP TABLE IF EXISTS {schema_editor.quote_name(TABLE)}", params=None)


class Migration(migrations.Migration):
    dependencies = [("omaccess", "0002_audit_is_append_only")]

    operations = [migrations.RunPython(create, drop)]
