"""Indexes by any part of a host's name, address and owner, by its folded name, and by account names without case.

Made while the portal runs.
"""

from django.db import migrations, models

import omaccess.models.search_key
from omaccess import search_index
from omaccess.live_indexes import AddIndexUnderway


def install(apps, schema_editor):
    search_index.install(schema_editor)


def remove(apps, schema_editor):
    search_index.remove(schema_editor)


def analyze(apps, schema_editor):
    """PostgreSQL knows nothing about an index over an expression before its table was analysed again."""
    if schema_editor.connection.vendor == "postgresql":
        for name in ("Host", "HostAccount"):
            table = apps.get_model("omaccess", name)._meta.db_table
            schema_editor.execute(f"ANALYZE {schema_editor.quote_name(table)}")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("omaccess", "0011_fill_search_text")]

    operations = [
        AddIndexUnderway(
            model_name="host",
            index=models.Index(
                omaccess.models.search_key.FoldedName(),
                models.F("id"),
                name="host_by_folded_name",
            ),
        ),
        AddIndexUnderway(
            model_name="hostaccount",
            index=models.Index(
                omaccess.models.search_key.SearchKey("name"),
                models.F("host"),
                name="account_by_name_key",
            ),
        ),
        migrations.RunPython(install, remove),
        migrations.RunPython(analyze, migrations.RunPython.noop),
    ]
