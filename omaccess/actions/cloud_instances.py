"""Instances from Huawei Cloud: asked for with a read credential, proposed, and taken over when an admin says so."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace

import structlog
from django.conf import settings
from django.core import signing
from django.utils import timezone

from accounts.models import User
from omaccess import bulkhead, cloud_link
from omaccess.actions import allowance, instance_matching
from omaccess.actions.instance_matching import IDS, Bastion, Place, Proposal
from omaccess.actions.inventory import InstanceChange
from omaccess.audit import Kind, record
from omaccess.causes import Cause, cause_of, upstream_of
from omaccess.cloud.errors import CloudError
from omaccess.cloud.types import Deadline, ProjectScope
from omaccess.cloud_link import iam_user_of
from omaccess.errors import CredentialBlocked, CredentialUnusable, TooManyLaunches
from omaccess.locks import writing
from omaccess.meta import Meta
from omaccess.models import BastionInstance, IamCredential

log = structlog.get_logger(__name__)

PROPOSAL_SECONDS = 3600
"""How long what was listed may be taken over. After that it is asked for again."""

_SALT = "omaccess.cloud_instances"


class NotForReading(Exception):
    """A launch credential can only launch; listing needs one whose purpose is to read."""


class StaleProposal(Exception):
    """What is to be taken over was not listed by this portal, or too long ago."""


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
    """List the CBH instances of a project. Recorded; counts as one of the person's launches of the minute.

    Raises:
        NotForReading, TooManyLaunches: nothing was asked or recorded.
        CannotRecord: the audit could not be written.
    """
    if credential.purpose != IamCredential.Purpose.READ:
        raise NotForReading
    now = timezone.now()
    with writing():
        over = allowance.take(by, at=now)
    if over:
        raise TooManyLaunches(allowance.seconds_left(by, at=now))
    facts = {"iam_user": iam_user_of(credential), "endpoint": place.endpoint, "project": place.project_name}
    with bulkhead.slot() as has_slot:
        listing = _ask(credential, place) if has_slot else Listing(place, Cause.BUSY)
    if listing.cause is None:
        facts |= {"project_id": listing.place.project_id}
        with writing():
            record(
                Kind.CREDENTIAL_LISTED, by=by, meta=meta, target=credential, instances=len(listing.bastions), **facts
            )
    else:
        upstream = {"code": listing.code, "description": listing.description, "request_id": listing.request_id}
        facts |= {f"upstream_{name}": value for name, value in upstream.items() if value}
        with writing():
            record(Kind.CREDENTIAL_LIST_FAILED, by=by, meta=meta, target=credential, cause=listing.cause.value, **facts)
    log.info("instances_listed", credential_id=credential.pk, cause=str(listing.cause or ""))
    return listing


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


def signed(proposal: Proposal, *, instance_id: int | None = None) -> str:
    """A proposal on its way through the browser, for a new instance or for the one it was compared with."""
    return signing.dumps({"instance": instance_id, **asdict(proposal)}, salt=_SALT, compress=True)


def opened(text: str, *, is_new: bool) -> tuple[Proposal, int | None]:
    """The proposal, and the instance it is for. Raises: StaleProposal."""
    try:
        values = signing.loads(text, salt=_SALT, max_age=PROPOSAL_SECONDS)
    except signing.BadSignature:
        raise StaleProposal from None
    instance_id = values.pop("instance")
    if (instance_id is None) != is_new:
        raise StaleProposal
    return Proposal(**{**values, "origins": tuple(values["origins"])}), instance_id


def take_over(
    proposal: Proposal, *, instance_id: int, chosen: Collection[str], by: User, meta: Meta
) -> BastionInstance:
    """Change an instance to what the cloud says, in one recorded change.

    Args:
        chosen: fields of `IDS`, and login addresses as they stand in the proposal; what else it holds is left alone.

    Raises:
        BastionInstance.DoesNotExist: no such instance.
        ValidationError: the model does not accept it.
        OwnReach: the person may open what it leads to.
    """
    instance = BastionInstance.objects.get(pk=instance_id)
    with InstanceChange.of(instance, by=by, meta=meta):
        instance.refresh_from_db()
        for name in IDS:
            if name in chosen and getattr(proposal, name):
                setattr(instance, name, getattr(proposal, name))
        instance.full_clean()
        instance.save()
        for address in instance_matching.missing_origins(instance, proposal):
            if address.origin in chosen:
                address.full_clean()
                address.save()
    return instance
