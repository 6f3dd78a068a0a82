"""Instances from Huawei Cloud: asked for with a read credential, proposed, and taken over when an admin says so."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any

import structlog
from django.conf import settings
from django.core import signing
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from omaccess import bulkhead, cloud_link
from omaccess.actions import instance_matching
from omaccess.actions.asking import recording, use_allowance
from omaccess.actions.changes import Facts
from omaccess.actions.instance_matching import IDS, Bastion, Place, Proposal
from omaccess.actions.inventory import InstanceChange
from omaccess.audit import Kind, record
from omaccess.causes import Cause, cause_of, upstream_of
from omaccess.cloud.errors import CloudError
from omaccess.cloud.types import Deadline, ProjectScope
from omaccess.cloud_link import iam_user_of
from omaccess.errors import CredentialBlocked, CredentialUnusable
from omaccess.locks import writing
from omaccess.meta import Meta
from omaccess.models import BastionInstance, IamCredential

log = structlog.get_logger(__name__)

PROPOSAL_SECONDS = 3600
"""How long what was listed may be taken over. After that it is asked for again."""

_NEW, _UPDATE = "omaccess.cloud_instances.new", "omaccess.cloud_instances.update"
"""Salts: what was signed for the one is nothing to the other."""


class NotForReading(Exception):
    """A launch credential can only launch; listing needs one whose purpose is to read."""


class StaleProposal(Exception):
    """What is to be taken over was not listed by this portal, too long ago, or is not what the admin was shown.

    `message` is for the screen.
    """

    def __init__(self, message: str | Promise = "") -> None:
        super().__init__("stale proposal")
        self.message = message or _("This list is too old, or not from here. List the instances again.")


@dataclass(frozen=True, slots=True)
class Listing:
    """What came of asking. `cause` is None when there is a list, which may be empty."""

    place: Place
    cause: Cause | None
    bastions: tuple[Bastion, ...] = ()
    is_cut: bool = False
    code: str = ""
    description: str = ""
    request_id: str = ""


def ask(credential: IamCredential, place: Place, *, by: User, meta: Meta) -> Listing:
    """List the CBH instances of a project. The intent is committed before the cloud is asked, and what came of it.

    Counts as one of the person's launches of the minute.

    Raises:
        NotForReading, TooManyLaunches: nothing was asked or recorded.
        CannotRecord: the database failed. A request without outcome in the audit means: unknown.
    """
    if credential.purpose != IamCredential.Purpose.READ:
        raise NotForReading
    place = replace(place, account_name=credential.account_name)
    facts = {"iam_user": iam_user_of(credential), "endpoint": place.endpoint, "project": place.project_name}
    with recording():
        use_allowance(by)
        with bulkhead.slot() as has_slot:
            with writing():
                record(Kind.CREDENTIAL_LIST_REQUESTED, by=by, meta=meta, target=credential, **facts)
            listing = _ask(credential, place) if has_slot else Listing(place, Cause.BUSY)
        kind, cause = Kind.CREDENTIAL_LISTED, ""
        if listing.cause is not None:
            kind, cause = Kind.CREDENTIAL_LIST_FAILED, listing.cause.value
        with writing():
            record(kind, by=by, meta=meta, target=credential, cause=cause, **facts, **_outcome(listing))
    log.info("instances_listed", credential_id=credential.pk, cause=cause)
    return listing


def _outcome(listing: Listing) -> dict[str, Any]:
    if listing.cause is None:
        facts = {"project_id": listing.place.project_id, "instances": len(listing.bastions), "is_cut": listing.is_cut}
        return facts | ({"upstream_request_id": listing.request_id} if listing.request_id else {})
    upstream = {"code": listing.code, "description": listing.description, "request_id": listing.request_id}
    return {f"upstream_{name}": value for name, value in upstream.items() if value}


def _ask(credential: IamCredential, place: Place) -> Listing:
    deadline = Deadline.after(settings.ATTEMPT_SECONDS)
    scope = ProjectScope(name=place.project_name)
    try:
        token, found = cloud_link.instances(credential, scope, endpoint=place.endpoint, deadline=deadline)
    except (CloudError, CredentialUnusable, CredentialBlocked) as error:
        upstream = upstream_of(error)
        return Listing(
            place,
            cause_of(error),
            code=upstream.get("upstream_code", ""),
            description=upstream.get("upstream_description", ""),
            request_id=upstream.get("upstream_request_id", ""),
        )
    place = replace(place, project_id=token.project_id[:64])
    bastions = instance_matching.bastions(found.instances, place)
    return Listing(place, None, tuple(bastions), found.is_cut, request_id=found.request_id)


# --- taking over -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Update:
    """A proposal for an instance of the inventory, and all that the admin saw of it when it was compared.

    `reader` is the credential that it was listed with, for the audit.
    """

    proposal: Proposal
    instance_id: int
    seen: dict[str, Any]
    reader: str


def signed(proposal: Proposal) -> str:
    """A proposal for a new instance, on its way through the browser."""
    return signing.dumps(asdict(proposal), salt=_NEW, compress=True)


def opened(text: str) -> Proposal:
    """Raises: StaleProposal."""
    return _proposal(_loaded(text, _NEW))


def signed_update(proposal: Proposal, instance: BastionInstance, reader: IamCredential) -> str:
    """A proposal for the instance that it was compared with, as it is now."""
    values = {
        "proposal": asdict(proposal),
        "instance_id": instance.pk,
        "seen": _seen(instance),
        "reader": f"{reader} ({iam_user_of(reader)})",
    }
    return signing.dumps(values, salt=_UPDATE, compress=True)


def opened_update(text: str) -> Update:
    """Raises: StaleProposal."""
    values = _loaded(text, _UPDATE)
    return Update(**{**values, "proposal": _proposal(values["proposal"])})


def _loaded(text: str, salt: str) -> Any:
    try:
        return signing.loads(text, salt=salt, max_age=PROPOSAL_SECONDS)
    except signing.BadSignature:
        raise StaleProposal from None


def _proposal(values: dict[str, Any]) -> Proposal:
    return Proposal(**{**values, "origins": tuple(values["origins"])})


def _seen(instance: BastionInstance) -> dict[str, Any]:
    """What recognising, the warnings and the differences rest on."""
    names = ("name", "region", "endpoint", "project_name", "credential_id", *IDS)
    addresses = sorted(f"{address.kind}: {address.origin}" for address in instance.login_addresses.all())
    return {name: getattr(instance, name) for name in names} | {"login_addresses": addresses}


class _CloudChange(InstanceChange):
    """As any change of an instance; its event also says where the values came from."""

    values_from = ""

    def facts(self, subject_id: int) -> Facts:
        found = super().facts(subject_id)
        # Only beside something that changed: a change of nothing leaves no event.
        is_changed = bool(self.before) and found != self.before
        return found | {"values_from": self.values_from} if is_changed else found


def take_over(update: Update, *, chosen: Collection[str], by: User, meta: Meta) -> tuple[BastionInstance, bool]:
    """Change an instance to what the cloud says, in one recorded change. Returns whether anything changed.

    Args:
        chosen: fields of `IDS`, and login addresses as they stand in the proposal; what else it holds is left alone.

    Raises:
        StaleProposal: there is no such instance, or it was changed since the admin saw it.
        ValidationError: the model does not accept it.
        OwnReach: the person may open what it leads to.
        CannotRecord: the database failed; nothing was changed.
    """
    try:
        with recording():
            instance = BastionInstance.objects.get(pk=update.instance_id)
            with _CloudChange.of(instance, by=by, meta=meta) as change:
                change.values_from = f"Huawei Cloud, listed with {update.reader}"
                instance.refresh_from_db()
                if _seen(instance) != update.seen:
                    raise StaleProposal(_("It was changed meanwhile, so nothing was saved. List the instances again."))
                return instance, _set(instance, update.proposal, chosen)
    except BastionInstance.DoesNotExist:
        raise StaleProposal from None


def _set(instance: BastionInstance, proposal: Proposal, chosen: Collection[str]) -> bool:
    differing = [name for name in IDS if getattr(proposal, name) not in ("", getattr(instance, name))]
    wanted = [name for name in differing if name in chosen]
    if wanted:
        for name in wanted:
            setattr(instance, name, getattr(proposal, name))
        instance.full_clean()
        instance.save()
    missing = [one for one in instance_matching.missing_origins(instance, proposal) if one.origin in chosen]
    for address in missing:
        address.full_clean()
        address.save()
    return bool(wanted or missing)
