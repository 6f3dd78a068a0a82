"""The groups `admins` and `auditors` and what they may do in the admin site. Neither opens any host."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

INVENTORY = ["bastioninstance", "loginaddress", "host", "label", "hostaccount", "iamcredential"]
GRANTS = ["grant", "grantlabel", "grantaccount"]
ROWS_THAT_MAY_GO = ["loginaddress", "label", "grantlabel", "grantaccount"]

ADMINS = {
    "omaccess": [
        *(f"{verb}_{model}" for model in [*INVENTORY, *GRANTS] for verb in ("view", "add", "change")),
        *(f"delete_{model}" for model in ROWS_THAT_MAY_GO),
        "view_launch",
        "view_auditevent",
        "test_account",
    ],
    "accounts": ["view_user", "add_user", "change_user", "enter_admin"],
    "auth": ["view_group", "add_group", "change_group"],
}
AUDITORS = {
    "omaccess": [
        *(f"view_{model}" for model in [*INVENTORY, *GRANTS]),
        "view_launch",
        "view_auditevent",
        "export_audit",
    ],
    "accounts": ["view_user", "enter_admin"],
    "auth": ["view_group"],
}


def make_roles(apps, schema_editor):
    # Permissions are otherwise made after the last migration, too late for this one.
    for label in ("auth", "accounts", "omaccess"):
        config = apps.get_app_config(label)
        config.models_module = True
        create_permissions(config, apps=apps, verbosity=0)
        config.models_module = None

    group_model = apps.get_model("auth", "Group")
    permission_model = apps.get_model("auth", "Permission")
    for name, wanted in (("admins", ADMINS), ("auditors", AUDITORS)):
        group, _created = group_model.objects.get_or_create(name=name)
        for app_label, codenames in wanted.items():
            group.permissions.add(
                *permission_model.objects.filter(content_type__app_label=app_label, codename__in=codenames)
            )


def remove_roles(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(name__in=["admins", "auditors"]).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("omaccess", "0003_cache_table"),
    ]

    operations = [migrations.RunPython(make_roles, remove_roles)]
