"""Indexes for what is searched and for what is granted, made while the portal runs."""

from django.db import migrations, models

import omaccess.models.search_key
from omaccess.live_indexes import AddIndexUnderway


def analyze(apps, schema_editor):
    """PostgreSQL knows nothing about an index over an expression before its table was analysed again."""
    if schema_editor.connection.vendor == "postgresql":
        for name in ("Host", "Label", "Grant"):
            table = apps.get_model("omaccess", name)._meta.db_table
            schema_editor.execute(f"ANALYZE {schema_editor.quote_name(table)}")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("omaccess", "0006_job_runs")]

    operations = [
        AddIndexUnderway(
            model_name="host",
            index=models.Index(
                omaccess.models.search_key.SearchKey("name"),
                models.F("id"),
                name="host_by_name_key",
            ),
        ),
        AddIndexUnderway(
            model_name="host",
            index=models.Index(omaccess.models.search_key.SearchKey("address"), name="host_by_address_text"),
        ),
        AddIndexUnderway(
            model_name="host",
            index=models.Index(omaccess.models.search_key.SearchKey("address_key"), name="host_by_address_start"),
        ),
        AddIndexUnderway(
            model_name="label",
            index=models.Index(
                omaccess.models.search_key.SearchKey("key"),
                omaccess.models.search_key.SearchKey("value"),
                models.F("host"),
                name="label_by_text",
            ),
        ),
        AddIndexUnderway(
            model_name="grant",
            index=models.Index(fields=["user", "host"], name="grant_by_user_and_host"),
        ),
        AddIndexUnderway(
            model_name="grant",
            index=models.Index(fields=["group", "host"], name="grant_by_group_and_host"),
        ),
        AddIndexUnderway(
            model_name="grant",
            index=models.Index(fields=["-created_at", "-id"], name="grant_newest_first"),
        ),
        migrations.RunPython(analyze, migrations.RunPython.noop),
    ]
