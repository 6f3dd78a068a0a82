"""What is searched, for the hosts that there are: some at a time, so that nobody waits for it."""

from django.db import migrations

from omaccess.search_texts import refresh


def fill(apps, schema_editor):
    refresh(apps.get_model("omaccess", "Host").objects.using(schema_editor.connection.alias))


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("omaccess", "0010_host_search_text")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
