"""The one column that search looks into. Empty until the next migration has filled it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("omaccess", "0009_favourites")]

    operations = [
        migrations.AddField(
            model_name="host",
            name="search_text",
            field=models.TextField(db_default="", default="", editable=False, verbose_name="what is searched"),
        ),
    ]
