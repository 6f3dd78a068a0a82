"""Databases of these tests' own, with the two roles of a production installation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests.database.installation import Installation, database, two_roles


@pytest.fixture(scope="session")
def _migrated(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Installation]:
    with two_roles() as roles, database(*roles) as made:
        with django_db_blocker.unblock():
            made.migrate()
        yield made


@pytest.fixture
def bare_installation(_migrated: Installation, django_db_blocker: DjangoDbBlocker) -> Iterator[Installation]:
    """Migrated by its owner; nobody has said yet what the running role may do."""
    with database(_migrated.owner, _migrated.web, template=_migrated.database) as made, django_db_blocker.unblock():
        yield made


@pytest.fixture
def installation(bare_installation: Installation) -> Installation:
    """As the RUNBOOK leaves it. Commits are real; Django's own default database is another one."""
    bare_installation.say_what_the_running_role_may()
    return bare_installation


@pytest.fixture
def empty_database(_migrated: Installation) -> Iterator[Installation]:
    """What `CREATE DATABASE … OWNER …` makes, and nothing in it."""
    with database(_migrated.owner, _migrated.web) as made:
        yield made
