"""The first page: what a new installation still lacks, and what did not open lately."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from omaccess.admin.words import cause_title, moment
from omaccess.models import BastionInstance, Grant, HostAccount, IamCredential, Launch, LaunchState, LoginAddress

LOOKED_AT = 200
SHOWN = 8


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a launch cannot do without. `address` is where it is added or completed."""

    title: str | Promise
    why: str | Promise
    address: str
    is_done: bool


def steps() -> list[Step]:
    """In the order in which they build on each other."""
    links = LoginAddress.objects.filter(instance=OuterRef("pk"), kind=LoginAddress.Kind.LINK)
    credentials = IamCredential.objects.filter(is_enabled=True, purpose=IamCredential.Purpose.LAUNCH)
    instances = BastionInstance.objects.filter(is_enabled=True)
    return [
        Step(
            _("A launch credential with its password"),
            _("The IAM user with which the portal asks Huawei Cloud for links."),
            reverse("admin:omaccess_iamcredential_changelist"),
            credentials.exclude(secret_ciphertext="").exists(),
        ),
        Step(
            _("A bastion instance that uses it"),
            _("Its region, project, server id and endpoint, as the Cloud Bastion Host console shows them."),
            reverse("admin:omaccess_bastioninstance_changelist"),
            instances.exists(),
        ),
        Step(
            _("A login address of the instance, of the kind link"),
            _("Links are followed only to known addresses. Test an account, and the address seen is offered there."),
            reverse("admin:omaccess_bastioninstance_changelist"),
            instances.filter(Exists(links)).exists(),
        ),
        Step(
            _("A host with an account"),
            _("Address and account name exactly as they are registered in the bastion."),
            reverse("admin:omaccess_host_changelist"),
            HostAccount.objects.enabled().exists(),
        ),
        Step(
            _("A grant that is in force"),
            _("Without a grant nobody opens anything. Nobody grants to themselves: two admins grant to each other."),
            reverse("admin:omaccess_grant_changelist"),
            Grant.objects.in_force(timezone.now()).exists(),
        ),
    ]


def missing_steps() -> list[Step]:
    """All steps while any is missing, so that one sees how far one is; nothing once all are done."""
    found = steps()
    return [] if all(step.is_done for step in found) else found


@dataclass(frozen=True, slots=True)
class Trouble:
    launch: Launch
    when: str
    title: str


def trouble() -> list[Trouble]:
    """The newest launches that were refused or failed, among the newest of all: one bounded walk over an index."""
    newest = Launch.objects.order_by("-id").only(
        "reference", "user_name", "account_name", "host_name", "state", "cause", "created_at"
    )[:LOOKED_AT]
    bad = [launch for launch in newest if launch.state in (LaunchState.REFUSED, LaunchState.FAILED)]
    return [Trouble(launch, moment(launch.created_at), cause_title(launch.cause)) for launch in bad[:SHOWN]]
