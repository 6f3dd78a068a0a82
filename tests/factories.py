"""The smallest valid row of each model; traits name situations."""

from __future__ import annotations

import datetime as dt
from typing import Any

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from accounts.models import User
from omaccess import vault
from omaccess.models import (
    BastionInstance,
    Grant,
    GrantAccount,
    GrantLabel,
    Host,
    HostAccount,
    IamCredential,
    Label,
    Launch,
    LaunchState,
)

PASSWORD = "correct horse battery staple"


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda number: f"user{number}")
    name = factory.LazyAttribute(lambda user: user.username.title())
    password = factory.django.Password(PASSWORD)

    @factory.post_generation
    def groups(self, create: bool, extracted: Any, **_kwargs: Any) -> None:
        if create and extracted:
            self.groups.add(*extracted)


class IamCredentialFactory(DjangoModelFactory[IamCredential]):
    class Meta:
        model = IamCredential
        skip_postgeneration_save = True

    name = factory.Sequence(lambda number: f"credential {number}")
    iam_endpoint = "http://127.0.0.1:9"
    account_name = "acme"
    user_name = "portal"

    @factory.post_generation
    def secret(self, create: bool, extracted: str | None, **_kwargs: Any) -> None:
        if create and extracted is not None:
            self.secret_ciphertext = vault.encrypt(
                extracted,
                table="iamcredential",
                row=str(self.pk),
                field="secret",
            )
            self.save()


class BastionInstanceFactory(DjangoModelFactory[BastionInstance]):
    class Meta:
        model = BastionInstance

    name = factory.Sequence(lambda number: f"bastion {number}")
    region = "cn-north-4"
    project_name = "cn-north-4"
    server_id = "5c9a2f7e-1f7b-4a59-8c0e-0f6a4f0b8a11"
    endpoint = "http://127.0.0.1:9"
    credential = factory.SubFactory(IamCredentialFactory, secret="a secret")


class HostFactory(DjangoModelFactory[Host]):
    class Meta:
        model = Host
        skip_postgeneration_save = True

    instance = factory.SubFactory(BastionInstanceFactory)
    name = factory.Sequence(lambda number: f"host-{number}")
    # Not in 10.0.0.0/16, where the test world has its hosts.
    address = factory.Sequence(lambda number: f"10.{100 + number // 65536}.{number // 256 % 256}.{number % 256}")

    @factory.post_generation
    def labels(self, create: bool, extracted: dict[str, str] | None, **_kwargs: Any) -> None:
        if create:
            for key, value in (extracted or {}).items():
                Label.objects.create(host=self, key=key, value=value)


class HostAccountFactory(DjangoModelFactory[HostAccount]):
    class Meta:
        model = HostAccount

    host = factory.SubFactory(HostFactory)
    name = "root"


class GrantFactory(DjangoModelFactory[Grant]):
    """By default: in force, every account of one new host, for one new person."""

    class Meta:
        model = Grant
        skip_postgeneration_save = True

    class Params:
        everything = factory.Trait(target=Grant.Target.ALL, host=None)
        by_labels = factory.Trait(target=Grant.Target.LABELS, host=None)
        not_yet = factory.Trait(valid_from=factory.LazyFunction(lambda: timezone.now() + dt.timedelta(days=1)))
        expired = factory.Trait(valid_until=factory.LazyFunction(lambda: timezone.now() - dt.timedelta(hours=1)))
        long_expired = factory.Trait(
            valid_from=factory.LazyFunction(lambda: timezone.now() - dt.timedelta(days=90)),
            valid_until=factory.LazyFunction(lambda: timezone.now() - dt.timedelta(days=31)),
        )
        revoked = factory.Trait(
            revoked_at=factory.LazyFunction(timezone.now), revoked_by=factory.SubFactory(UserFactory)
        )

    user = factory.SubFactory(UserFactory)
    target = Grant.Target.HOST
    host = factory.SubFactory(HostFactory)
    every_account = True
    valid_from = factory.LazyFunction(lambda: timezone.now() - dt.timedelta(days=7))

    @factory.post_generation
    def labels(self, create: bool, extracted: dict[str, str] | None, **_kwargs: Any) -> None:
        if create:
            for key, value in (extracted or {}).items():
                GrantLabel.objects.create(grant=self, key=key, value=value)

    @factory.post_generation
    def names(self, create: bool, extracted: list[str] | None, **_kwargs: Any) -> None:
        if create:
            for name in extracted or ():
                GrantAccount.objects.create(grant=self, name=name)


class LaunchFactory(DjangoModelFactory[Launch]):
    """By default: a link was handed over just now."""

    class Meta:
        model = Launch

    user = factory.SubFactory(UserFactory)
    account = factory.SubFactory(HostAccountFactory)
    state = LaunchState.OPENED
    host_name = factory.LazyAttribute(lambda launch: launch.account.host.name)
    account_name = factory.LazyAttribute(lambda launch: launch.account.name)
    attempted_at = factory.LazyFunction(timezone.now)
    ended_at = factory.LazyFunction(timezone.now)
