"""What must hold before the portal serves anybody. Django runs these at every start."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.introspection import BaseDatabaseIntrospection

from omaccess import database_role, vault
from omaccess.audit import triggers
from omaccess.clients import endpoint_rules, transport
from omaccess.cloud.errors import EndpointNotAllowed


@register(Tags.security)
def vault_keys(app_configs: Any, **_kwargs: Any) -> list[CheckMessage]:
    """A malformed key is found now, not at the first launch."""
    try:
        vault.keys()
    except vault.InvalidKeys as error:
        return [Error(str(error), id="omaccess.E001")]
    return []


@register(Tags.security)
def cloud_endpoints(app_configs: Any, **_kwargs: Any) -> list[CheckMessage]:
    try:
        endpoint_rules()
    except (ValueError, EndpointNotAllowed) as error:
        return [Error(f"CLOUD_ENDPOINTS: {error}", id="omaccess.E002")]
    return []


@register(Tags.security)
def cloud_connection(app_configs: Any, **_kwargs: Any) -> list[CheckMessage]:
    """The proxy and the CA bundle are usable: found now, not in the middle of somebody's launch."""
    if cloud_endpoints(app_configs):
        return []
    try:
        transport()
    except OSError as error:
        return [Error(f"CLOUD_CA_BUNDLE: {error}", id="omaccess.E007")]
    except ValueError as error:
        return [Error(f"CLOUD_PROXY: {error}", id="omaccess.E008")]
    return []


@register(Tags.security)
def sandbox_is_no_production(app_configs: Any, **_kwargs: Any) -> list[CheckMessage]:
    """The sandbox opens nothing real and speaks http; on PostgreSQL somebody most likely forgot it."""
    if settings.IS_SANDBOX and not settings.IS_SQLITE and not settings.ALLOW_SANDBOX:
        return [
            Error(
                "CLOUD=sandbox on PostgreSQL. If this is meant, set ALLOW_SANDBOX=1; otherwise set CLOUD=huawei.",
                id="omaccess.E003",
            )
        ]
    return []


@register(Tags.database)
def audit_is_protected(app_configs: Any, databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """The triggers that make the audit append-only are there, and PostgreSQL really writes what it acknowledges."""
    if DEFAULT_DB_ALIAS not in (databases or ()):
        return []
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        if triggers.EVENTS not in connection.introspection.table_names():
            return []  # before the first migration
        found: list[CheckMessage] = [
            Error(f"The audit's trigger {name} is missing or altered.", id="omaccess.E004")
            for name in triggers.missing(connection)
        ]
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SHOW synchronous_commit")
                if cursor.fetchone()[0] == "off":
                    found.append(
                        Error(
                            "PostgreSQL has synchronous_commit=off: a crash could lose acknowledged audit events.",
                            id="omaccess.E005",
                        )
                    )
                found += _role_errors(cursor) + _reach_errors(cursor, connection.introspection)
        return found
    except DatabaseError as error:
        return [Warning(f"The database could not be asked: {type(error).__name__}", id="omaccess.W001")]


def _role_errors(cursor: Any) -> list[CheckMessage]:
    """The running role should only SELECT and INSERT events, and SELECT and UPDATE their head."""
    if settings.USE_MIGRATE_ROLE or not settings.REQUIRE_AUDIT_ROLE:
        return []
    extra = database_role.excesses(cursor)
    if not extra:
        return []
    return [
        Error(
            f"The database role may {', '.join(extra)}. Run as a role that may only SELECT and INSERT on "
            f"{triggers.EVENTS}, and SELECT and UPDATE on {triggers.HEAD}: deploy/postgresql-roles.sql makes it so, "
            "the RUNBOOK says how; migrate with MIGRATE_DATABASE_URL.",
            id="omaccess.E006",
        )
    ]


def _reach_errors(cursor: Any, introspection: BaseDatabaseIntrospection) -> list[CheckMessage]:
    """A start that works, and a first page that does not, would be found out by people."""
    tables = introspection.django_table_names(only_existing=True, include_views=False)
    out_of_reach = database_role.tables_out_of_reach(cursor, tables)
    if not out_of_reach:
        return []
    more = " …" if len(out_of_reach) > 3 else ""
    return [
        Error(
            f"The database role may not read {', '.join(out_of_reach[:3])}{more}. Run deploy/postgresql-roles.sql "
            "after every migrate, as the RUNBOOK says.",
            id="omaccess.E009",
        )
    ]
