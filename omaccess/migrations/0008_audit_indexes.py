"""Indexes for what the auditors' list is asked, made while the portal runs.

No table is remade on either database, so the audit's triggers stay.
"""

from importlib import import_module

from django.db import migrations, models

import omaccess.models.search_key

underway = import_module("omaccess.migrations.0007_search_indexes")


def analyze(apps, schema_editor):
    """PostgreSQL knows nothing about an index over an expression before its table was analysed again."""
    if schema_editor.connection.vendor == "postgresql":
        table = apps.get_model("omaccess", "AuditEvent")._meta.db_table
        schema_editor.execute(f"ANALYZE {schema_editor.quote_name(table)}")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("omaccess", "0007_search_indexes")]

    operations = [
        underway.AddIndexUnderway(
            model_name="auditevent",
            index=models.Index(fields=["cause", "-position"], name="audit_by_cause"),
        ),
        underway.AddIndexUnderway(
            model_name="auditevent",
            index=models.Index(fields=["actor_name", "-at", "-position"], name="audit_by_actor_and_time"),
        ),
        underway.AddIndexUnderway(
            model_name="auditevent",
            index=models.Index(omaccess.models.search_key.SearchKey("target_name"), name="audit_by_target_key"),
        ),
        migrations.RunPython(analyze, migrations.RunPython.noop),
    ]
