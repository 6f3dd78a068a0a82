"""What an admin lets a credential do in Huawei Cloud: verify that it works, list instances, take them over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods, require_POST

from omaccess import tokens
from omaccess.actions import cloud_instances, credential_verify
from omaccess.actions.changes import OwnReach
from omaccess.actions.cloud_instances import Listing, StaleProposal
from omaccess.actions.credential_advice import PERMISSIONS, POWERFUL_ROLES, likely_mistakes
from omaccess.actions.credential_verify import Verdict
from omaccess.actions.instance_matching import Bastion, Likeness
from omaccess.admin.place_form import PLACE_NAME, PlaceForm, default_endpoint
from omaccess.admin.words import admin_of, known_cause, moment_text, row_id
from omaccess.causes import Cause
from omaccess.cloud.regions import region_of
from omaccess.cloud.types import ProjectScope
from omaccess.errors import TooManyLaunches
from omaccess.failures import Explanation, explain
from omaccess.meta import Meta
from omaccess.models import BastionInstance, IamCredential, LoginAddress

REFUSED_BY_IAM = {Cause.CREDENTIAL_REJECTED, Cause.CREDENTIAL_BLOCKED}
"""Causes behind which one of the usual mistakes most likely is."""

FIELD_NAMES: dict[str, str | Promise] = {
    "server_id": _("server id"),
    "instance_id": _("instance id"),
    "ha_id": _("HA id"),
    "project_id": _("project id"),
    "login_address": _("login address (link)"),
}
LIKENESSES: dict[Likeness, str | Promise] = {
    Likeness.INSTANCE_ID: _("recognised by its instance id"),
    Likeness.SERVER_ID: _("recognised by its server id"),
    Likeness.SWAPPED: _("its instance id stands where the server id belongs, or the other way round"),
    Likeness.NAME: _("recognised by its name only: make sure that it is the same"),
}


# --- verifying ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """A verdict with the catalogue's words; none when there is a token. `project` only where there are several."""

    verdict: Verdict
    explanation: Explanation | None
    project: str


def verify_context(credential: IamCredential, *, may_see_instances: bool, may_see_last: bool) -> dict[str, Any]:
    """For the section on the credential's page: what to verify for, and what came of it last."""
    instances = credential_verify.instances_of(credential)
    context: dict[str, Any] = {
        "instances": [instance.name for instance in instances] if may_see_instances else [],
        "number": len(instances),
        "default_project": default_region(credential, may_see_instances=may_see_instances),
        "permission": PERMISSIONS[credential.purpose],
    }
    # It comes out of the audit, which not everybody may read; whoever may change the credential may know how it did.
    verification = credential_verify.last(credential) if may_see_last else None
    if verification is None:
        return context
    verdicts = verification.verdicts
    several = len(verdicts) > 1
    return context | {
        "verification": verification,
        "verified_at": moment_text(verification.event.at),
        "told": [Told(one, _explanation(one), one.project_text if several else "") for one in verdicts],
        "mistakes": likely_mistakes(credential) if {one.cause for one in verdicts} & REFUSED_BY_IAM else [],
        "powerful": [POWERFUL_ROLES[role] for role in verification.powerful_roles if role in POWERFUL_ROLES],
    }


def _explanation(verdict: Verdict) -> Explanation | None:
    """None too for a cause that another version recorded: the page shows its bare name then."""
    cause = known_cause(verdict.cause or "")
    return explain(cause) if cause else None


def may_see_instances(request: HttpRequest) -> bool:
    """Whoever may change them may see them, as everywhere in the admin."""
    user = request.user
    return user.has_perm("omaccess.view_bastioninstance") or user.has_perm("omaccess.change_bastioninstance")


def default_region(credential: IamCredential, *, may_see_instances: bool = True) -> str:
    """The region in the IAM endpoint; for a global one, the region of an instance in the same account."""
    found = region_of(credential.iam_endpoint)
    if found or not may_see_instances:
        return found
    same = BastionInstance.objects.filter(
        credential__account_name=credential.account_name, credential__iam_endpoint=credential.iam_endpoint
    )
    return same.order_by("-is_enabled", "pk").values_list("region", flat=True).first() or ""


# --- listing -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """One difference with its box to tick; `chosen` is what the box sends."""

    label: str | Promise
    before: str
    after: str
    chosen: str
    is_ticked: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One listed bastion with what may be done about it, empty where there is nothing."""

    bastion: Bastion
    likeness: str | Promise
    changes: list[Change]
    add_address: str
    update_proposal: str


def rows_of(listing: Listing, reader: IamCredential) -> list[Row]:
    return [_row(bastion, reader) for bastion in listing.bastions]


def _row(bastion: Bastion, reader: IamCredential) -> Row:
    known, changes = bastion.known, _changes(bastion)
    add = update = ""
    if bastion.can_be_saved and known is None:
        found = cloud_instances.signed(bastion.proposal)
        add = f"{reverse('admin:omaccess_bastioninstance_add')}?found={found}"
    elif bastion.can_be_saved and known is not None and changes:
        update = cloud_instances.signed_update(bastion.proposal, known, reader)
    return Row(bastion, LIKENESSES[bastion.likeness] if bastion.likeness else "", changes, add, update)


def _changes(bastion: Bastion) -> list[Change]:
    """Ids are ticked. Login addresses only while there is none: whoever added one did not want every address.

    Nothing is ticked for what a name alone was recognised by: it may well be another.
    """
    if bastion.known is None:
        return []
    has_links = any(address.kind == LoginAddress.Kind.LINK for address in bastion.known.login_addresses.all())
    found = []
    for one in bastion.differences:
        is_address = one.field == "login_address"
        is_ticked = bastion.likeness is not Likeness.NAME and not (is_address and has_links)
        chosen = one.after if is_address else one.field
        found.append(Change(FIELD_NAMES[one.field], one.before, one.after, chosen, is_ticked))
    return found


def explanation_of(listing: Listing) -> Explanation | None:
    return explain(listing.cause) if listing.cause else None


def readers_for(instance: BastionInstance | None) -> list[IamCredential]:
    """The read credentials that could fill an instance in; those of the same account first."""
    rows = IamCredential.objects.filter(purpose=IamCredential.Purpose.READ, is_enabled=True)
    readers = list(rows.exclude(secret_ciphertext="").order_by("name")[:20])
    account = instance.credential.account_name if instance is not None else ""
    return sorted(readers, key=lambda reader: reader.account_name != account)[:5]


class AsksTheCloud:
    """For the credential's model admin: the addresses at which it is verified and lists instances."""

    admin_site: Any

    def get_urls(self) -> list[URLPattern]:
        views = {"verify/": self.verify, "instances/": self.instances, "instances/update/": self.update_instance}
        own = [
            path(
                f"<int:credential_id>/{address}",
                self.admin_site.admin_view(view),
                name=f"omaccess_iamcredential_{view.__name__}",
            )
            for address, view in views.items()
        ]
        return [*own, *super().get_urls()]  # type: ignore[misc]

    @method_decorator(require_POST)
    def verify(self, request: HttpRequest, credential_id: int) -> HttpResponse:
        """Exchange a token, drop it, and say on the credential's page what came of it."""
        credential = self._credential(request, credential_id)
        page = redirect("admin:omaccess_iamcredential_change", credential_id)
        name = request.POST.get("project_name", "").strip()
        scopes = credential_verify.projects_of(credential)
        if not scopes:
            if not PLACE_NAME.fullmatch(name):
                messages.error(request, _("Type the name of a project, such as the region: a token is for a project."))
                return page
            scopes = [ProjectScope(name=name)]
        try:
            verdicts = credential_verify.run(credential, scopes=scopes, by=admin_of(request), meta=Meta.of(request))
        except TooManyLaunches as error:
            messages.error(request, too_many(error))
        except tokens.ExchangedJustNow:
            messages.warning(
                request, _("This IAM user was asked for afresh less than 30 seconds ago. Wait a moment, then verify.")
            )
        else:
            if all(one.cause is None for one in verdicts):
                messages.success(request, _("%(name)s works: IAM accepted it.") % {"name": credential})
            else:
                messages.error(request, _("%(name)s was not verified; see below why.") % {"name": credential})
        return page

    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def instances(self, request: HttpRequest, credential_id: int) -> HttpResponse:
        """Where to ask, and, by POST, what Huawei Cloud has there."""
        credential = self._credential(request, credential_id)
        if not may_see_instances(request):
            raise PermissionDenied  # the page compares with the inventory
        looked_for = _looked_for(request)
        if request.method == "POST":
            form = PlaceForm(credential, request.POST)
        else:
            form = PlaceForm(credential, initial=_initial(credential, looked_for))
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": gettext("Instances in Huawei Cloud"),
            "subtitle": str(credential),
            "credential": credential,
            "looked_for": looked_for,
            "may_read": credential.purpose == IamCredential.Purpose.READ,
            "permission": PERMISSIONS[IamCredential.Purpose.READ],
            "form": form,
        }
        if form.is_bound and context["may_read"] and form.is_valid():
            try:
                listing = cloud_instances.ask(credential, form.place(), by=admin_of(request), meta=Meta.of(request))
            except TooManyLaunches as error:
                messages.error(request, too_many(error))
            else:
                user = request.user
                context |= {
                    "listing": listing,
                    "rows": rows_of(listing, credential),
                    "explanation": explanation_of(listing),
                    "lacks_permission": listing.cause is Cause.PERMISSION_MISSING,
                    "may_add": user.has_perms(["omaccess.add_bastioninstance", "omaccess.add_loginaddress"]),
                    "may_update": user.has_perms(["omaccess.change_bastioninstance", "omaccess.add_loginaddress"]),
                }
        return TemplateResponse(request, "admin/omaccess/iamcredential/instances.html", context)

    @method_decorator(require_POST)
    def update_instance(self, request: HttpRequest, credential_id: int) -> HttpResponse:
        """Take over what was chosen of one listed bastion, into the instance that it was compared with."""
        credential = self._credential(request, credential_id)
        if not request.user.has_perms(["omaccess.change_bastioninstance", "omaccess.add_loginaddress"]):
            raise PermissionDenied
        back = redirect("admin:omaccess_iamcredential_instances", credential.pk)
        chosen = set(request.POST.getlist("chosen"))
        if not chosen:
            messages.warning(request, _("Nothing was ticked, so nothing was changed."))
            return back
        try:
            update = cloud_instances.opened_update(request.POST.get("proposal", ""))
            instance, is_changed = cloud_instances.take_over(
                update, chosen=chosen, by=admin_of(request), meta=Meta.of(request)
            )
        except (StaleProposal, OwnReach) as refusal:
            messages.error(request, str(refusal.message))
            return back
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return back
        if not is_changed:
            messages.warning(request, _("Nothing of what was ticked differs, so nothing was changed."))
            return back
        messages.success(request, _("%(name)s was updated from Huawei Cloud.") % {"name": instance})
        return redirect("admin:omaccess_bastioninstance_change", instance.pk)

    def _credential(self, request: HttpRequest, credential_id: int) -> IamCredential:
        """Who may change a credential may use it. Raises: PermissionDenied, Http404."""
        if not request.user.has_perm("omaccess.change_iamcredential"):
            raise PermissionDenied
        return get_object_or_404(IamCredential, pk=credential_id)


def _looked_for(request: HttpRequest) -> BastionInstance | None:
    """The instance from whose page somebody came."""
    instance_id = row_id(request.GET.get("instance"))
    return BastionInstance.objects.filter(pk=instance_id).first() if instance_id else None


def _initial(credential: IamCredential, looked_for: BastionInstance | None) -> dict[str, str]:
    if looked_for is not None:
        return {
            "region": looked_for.region,
            "project_name": looked_for.project_name or looked_for.region,
            "endpoint": looked_for.endpoint,
        }
    region = default_region(credential)
    return {"region": region, "project_name": region, "endpoint": default_endpoint(credential, region)}


def too_many(error: TooManyLaunches) -> str:
    text = ngettext(
        "You asked for too many launches and tests; try again in %(seconds)d second.",
        "You asked for too many launches and tests; try again in %(seconds)d seconds.",
        error.retry_after_seconds,
    )
    return text % {"seconds": error.retry_after_seconds}
