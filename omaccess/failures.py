"""The failure catalogue: for every cause, in words, what happened, whose move it is and what to do next.

Pages, the admin's remedy, the audit's cause and the tests all read it. Texts may use the placeholders of
`explain`: {host} {account} {instance} {owner} {support} {iam_user} {address}.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from omaccess.causes import Cause, cause_of, state_of
from omaccess.mail_link import mail_link

if TYPE_CHECKING:
    from omaccess.models import Host, HostAccount, Launch

__all__ = [
    "CATALOGUE",
    "Cause",
    "Explanation",
    "Failure",
    "Mover",
    "Retry",
    "cause_of",
    "explain",
    "state_of",
]

Text = str | Promise


class Mover(StrEnum):
    """Whose move it is."""

    YOU = "you"
    HOST_OWNER = "host_owner"
    PORTAL_ADMIN = "portal_admin"
    HUAWEI_CLOUD = "huawei_cloud"

    @property
    def label(self) -> Text:
        return _MOVERS[self]

    @property
    def contact_label(self) -> Text:
        """What stands before the contact. Nobody reaches Huawei Cloud but through the portal's admins."""
        return _("If it lasts, tell") if self is Mover.HUAWEI_CLOUD else _("How to reach them")


_MOVERS: dict[Mover, Text] = {
    Mover.YOU: _("Your move"),
    Mover.HOST_OWNER: _("The host's owner has to act"),
    Mover.PORTAL_ADMIN: _("A portal admin has to act"),
    Mover.HUAWEI_CLOUD: _("Huawei Cloud has to recover"),
}


class Retry(StrEnum):
    """Whether and when trying again helps."""

    NEVER = "never"
    NOW = "now"
    SOON = "soon"
    AFTER_CHANGE = "after_change"

    @property
    def label(self) -> Text:
        return _RETRIES[self]

    @property
    def is_offered(self) -> bool:
        """Whether a button for it stands on the page: not while somebody else has to change something first."""
        return self in {Retry.NOW, Retry.SOON}


_RETRIES: dict[Retry, Text] = {
    Retry.NEVER: _("Trying again will not help."),
    Retry.NOW: _("You can try again now."),
    Retry.SOON: _("Trying again in a moment may help."),
    Retry.AFTER_CHANGE: _("Try again once that is done."),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One entry. `user` says what to do next; `admin` is the remedy, for those who can apply it."""

    title: Text
    what: Text
    user: Text
    admin: Text
    whose_move: Mover
    retry: Retry
    opened: bool = False


_ASK_ADMIN = _("Tell {support} the reference below; nobody else can repair this.")
_RETRY_THEN_TELL = _("Try again in a moment. If it stays like this, tell {support} the reference below.")

CATALOGUE: dict[Cause, Failure] = {
    # --- the portal's own decision ---------------------------------------------------------------
    Cause.NO_GRANT: Failure(
        title=_("You may not open this account"),
        what=_("You have no access to {account} on {host} at the moment."),
        user=_("Ask {support} for access to {host}."),
        admin=_("Grant it, if this person should have it."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.GRANT_NOT_YET: Failure(
        title=_("Your access has not begun"),
        what=_("You have been given access to {account} on {host}, but it begins later."),
        user=_("Come back when it begins, or ask {support} to change the date."),
        admin=_("Change the grant's beginning, if it should begin now."),
        whose_move=Mover.YOU,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.GRANT_ENDED: Failure(
        title=_("Your access has ended"),
        what=_("Your access to {account} on {host} has run out."),
        user=_("Ask {support} for new access if you still need it."),
        admin=_("Grant it again, if this person still needs it."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.GRANT_REVOKED: Failure(
        title=_("Your access was revoked"),
        what=_("Somebody took away your access to {account} on {host}."),
        user=_("Ask {support} if you believe that this is a mistake."),
        admin=_("The grant says who revoked it and when."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.STEP_UP_NEEDED: Failure(
        title=_("This access needs a second factor"),
        what=_("Your access asks for a second factor at every opening, and this portal has none yet."),
        user=_("Ask {support} for access without that condition."),
        admin=_("Take the second factor off the grant, or leave it closed: second factors are not available yet."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.INSTANCE_DISABLED: Failure(
        title=_("This bastion is switched off in the portal"),
        what=_("An admin has disabled {instance}; none of its hosts can be opened."),
        user=_("Ask {support} when it will be back."),
        admin=_("Enable the instance when it may be used again."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.HOST_DISABLED: Failure(
        title=_("This host is switched off in the portal"),
        what=_("An admin has disabled {host}."),
        user=_("Ask {owner} or {support} whether it should be open."),
        admin=_("Enable the host when it may be opened again."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.ACCOUNT_DISABLED: Failure(
        title=_("This account is switched off in the portal"),
        what=_("An admin has disabled the account {account} on {host}."),
        user=_("Choose another account of the host, or ask {owner}."),
        admin=_("Enable the account when it may be used again."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.PERSON_DISABLED: Failure(
        title=_("Your account in this portal was switched off"),
        what=_("Your account was disabled while the request was under way."),
        user=_("Ask {support} if you believe that this is a mistake."),
        admin=_("Enable the person, if they should have access."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.SESSION_ENDED: Failure(
        title=_("You were signed out meanwhile"),
        what=_("Your session in this portal ended while Huawei Cloud was asked, so its answer was thrown away."),
        user=_("Sign in and open it again."),
        admin=_("Nothing to repair."),
        whose_move=Mover.YOU,
        retry=Retry.NOW,
    ),
    Cause.DECISION_CHANGED: Failure(
        title=_("Your access changed meanwhile"),
        what=_(
            "While Huawei Cloud was asked, somebody changed your access or this host in the portal, "
            "so the answer was thrown away."
        ),
        user=_("Try again: the portal then decides by what holds now."),
        admin=_("The audit shows what was changed, and by whom."),
        whose_move=Mover.YOU,
        retry=Retry.NOW,
    ),
    Cause.TOO_MANY_LAUNCHES: Failure(
        title=_("Too many launches in a minute"),
        what=_("You asked for more launches in one minute than a person may."),
        user=_("Wait a minute, then try again."),
        admin=_("If this is normal work, raise LAUNCHES_PER_MINUTE. If not, look at who is signed in as this person."),
        whose_move=Mover.YOU,
        retry=Retry.SOON,
    ),
    # --- the stored credential -------------------------------------------------------------------
    Cause.CREDENTIAL_WITHOUT_SECRET: Failure(
        title=_("The portal's credential is not complete"),
        what=_("The portal has no password for the IAM user {iam_user}, so nothing was asked of Huawei Cloud."),
        user=_ASK_ADMIN,
        admin=_("Enter the IAM user's password at the credential. Changing who it is empties the password."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.CREDENTIAL_DISABLED: Failure(
        title=_("The portal's credential is switched off"),
        what=_("An admin has disabled the credential that {instance} uses."),
        user=_ASK_ADMIN,
        admin=_("Enable the credential, or choose another for the instance."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.CREDENTIAL_NOT_FOR_LAUNCHES: Failure(
        title=_("The portal's credential is not meant for this"),
        what=_("The credential that {instance} uses is for reading lists only, so nothing was asked of Huawei Cloud."),
        user=_ASK_ADMIN,
        admin=_("Choose a credential with the purpose launch for the instance or the account."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.SECRET_UNREADABLE: Failure(
        title=_("The portal cannot read its own credential"),
        what=_("The stored password does not decrypt, so nothing was asked of Huawei Cloud."),
        user=_ASK_ADMIN,
        admin=_("Put the missing key back into VAULT_KEYS, or enter the password again at the credential."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.CREDENTIAL_REJECTED: Failure(
        title=_("Huawei Cloud does not accept the portal's credential"),
        what=_("IAM refused the stored user name and password. This is not about you or your password."),
        user=_ASK_ADMIN,
        admin=_(
            "Check three things: the account name is the account's, not the user's; it is an IAM user, no HUAWEI ID; "
            "the password is current and login protection is off. Then enter the password again: that ends the block."
        ),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.CREDENTIAL_LOCKED: Failure(
        title=_("Huawei Cloud has locked the portal's IAM user"),
        what=_("Too many wrong passwords were tried for {iam_user}. The lock ends by itself, usually in 15 minutes."),
        user=_ASK_ADMIN,
        admin=_("Find out who tries wrong passwords for this IAM user; then enter the right one at the credential."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.CREDENTIAL_BLOCKED: Failure(
        title=_("The portal's credential was refused a short while ago"),
        what=_(
            "IAM refused it, so the portal does not ask again for up to 30 minutes: more tries could lock the IAM user."
        ),
        user=_ASK_ADMIN,
        admin=_("Enter the right password at the credential: that ends the block at once."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.CONSOLE_ONLY_USER: Failure(
        title=_("The portal's IAM user may only use the console"),
        what=_("Huawei Cloud does not let {iam_user} use its interfaces."),
        user=_ASK_ADMIN,
        admin=_("Give the IAM user programmatic access in the IAM console."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.IAM_USER_DISABLED: Failure(
        title=_("The portal's IAM user is disabled"),
        what=_("Somebody disabled {iam_user} in Huawei Cloud, or it was idle for too long."),
        user=_ASK_ADMIN,
        admin=_("Enable the IAM user in the IAM console."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.IAM_FORBIDDEN: Failure(
        title=_("Huawei Cloud refused the sign-in of the portal"),
        what=_("IAM answered that {iam_user} may not do this."),
        user=_ASK_ADMIN,
        admin=_("Check the project of the instance and the IAM user's access to it."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.PERMISSION_MISSING: Failure(
        title=_("The portal's IAM user lacks a permission"),
        what=_("Huawei Cloud does not let {iam_user} ask for O&M links."),
        user=_ASK_ADMIN,
        admin=_("Attach a policy with cbh:instance:getOmUrl to the IAM user, for the project of the instance."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.TOKEN_REJECTED: Failure(
        title=_("The bastion service does not accept the portal's sign-in"),
        what=_("Huawei Cloud signed the portal in, but its bastion service did not accept that."),
        user=_RETRY_THEN_TELL,
        admin=_("Check that endpoint, region and project of the instance belong together, and the IAM user's state."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.SOON,
    ),
    # --- states of get-om-url --------------------------------------------------------------------
    Cause.HOST_NOT_MANAGED: Failure(
        title=_("The bastion does not manage this host"),
        what=_("{instance} knows no host with the address {address}."),
        user=_("Before you can connect, {owner} has to add {host} to {instance}."),
        admin=_("Add the host with exactly this address to the bastion, or correct the address here."),
        whose_move=Mover.HOST_OWNER,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.HOST_ACCOUNT_UNKNOWN: Failure(
        title=_("The bastion does not know this account"),
        what=_("{instance} has no account {account} on {host}."),
        user=_("Before you can connect, {owner} has to add the account {account} to {host} in the bastion."),
        admin=_("Add the account in the bastion, or correct its name here: case and spaces count."),
        whose_move=Mover.HOST_OWNER,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.IAM_USER_NO_PERMISSION: Failure(
        title=_("The bastion does not let the portal open this host"),
        what=_("Inside {instance} the IAM user {iam_user} has no access rule for {account} on {host}."),
        user=_("Tell {support} the reference below; perhaps {owner} has to agree."),
        admin=_("Add an access rule in the bastion for this IAM user, host and account."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.IAM_USER_CONFLICT: Failure(
        title=_("The portal's IAM user clashes with a user of the bastion"),
        what=_("{instance} has a user of its own with the name of the IAM user {iam_user}."),
        user=_ASK_ADMIN,
        admin=_("Rename or remove the local user with this login name in the bastion, or use another IAM user."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.VERSION_TOO_OLD: Failure(
        title=_("This bastion needs an upgrade"),
        what=_("The software of {instance} is too old to open sessions from this portal."),
        user=_ASK_ADMIN,
        admin=_("Upgrade the instance in the Cloud Bastion Host console."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.TRUSTLIST_INITIALISING: Failure(
        title=_("The bastion is still getting ready"),
        what=_("{instance} is preparing itself for sessions. This usually takes a minute or two."),
        user=_("Stay on this page: it tries again by itself for a while, or use the button."),
        admin=_("If it lasts longer than some minutes, look at the instance in the Cloud Bastion Host console."),
        whose_move=Mover.HUAWEI_CLOUD,
        retry=Retry.SOON,
    ),
    Cause.UPSTREAM_UNKNOWN_ERROR: Failure(
        title=_("The bastion reports an unknown error"),
        what=_("{instance} could not make a link and did not say why."),
        user=_RETRY_THEN_TELL,
        admin=_("Quote the request id to Huawei Cloud's support."),
        whose_move=Mover.HUAWEI_CLOUD,
        retry=Retry.SOON,
    ),
    Cause.STATE_UNRECOGNISED: Failure(
        title=_("The bastion gave an answer that the portal does not know"),
        what=_("{instance} answered with a state that is not documented; the portal opens nothing on such an answer."),
        user=_RETRY_THEN_TELL,
        admin=_("The technical part shows the state. Quote it and the request id to Huawei Cloud's support."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.SOON,
    ),
    # --- the set-up of the instance --------------------------------------------------------------
    Cause.PROJECT_NOT_FOUND: Failure(
        title=_("The project of this bastion was not found"),
        what=_("Huawei Cloud does not know the project that is entered for {instance}, or {iam_user} cannot see it."),
        user=_ASK_ADMIN,
        admin=_("Correct the project id or name of the instance, and give the IAM user access to that project."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.PROJECT_UNAVAILABLE: Failure(
        title=_("The project of this bastion is suspended"),
        what=_("Huawei Cloud says that the project of {instance} cannot be used now."),
        user=_ASK_ADMIN,
        admin=_("Look at the project and the account's balance in the Huawei Cloud console."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.INSTANCE_NOT_FOUND: Failure(
        title=_("Huawei Cloud does not find this bastion"),
        what=_("No instance has the server id that is entered for {instance}."),
        user=_ASK_ADMIN,
        admin=_("Correct the server id: it changes when an instance is rebuilt. Of a pair, take the master's."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.INSTANCE_STATE_FORBIDS: Failure(
        title=_("This bastion is busy with itself"),
        what=_("{instance} is starting, stopping, upgrading or in another state in which it opens nothing."),
        user=_RETRY_THEN_TELL,
        admin=_("Look at the state of the instance in the Cloud Bastion Host console."),
        whose_move=Mover.HUAWEI_CLOUD,
        retry=Retry.SOON,
    ),
    Cause.ENDPOINT_WRONG: Failure(
        title=_("The portal asks at the wrong address"),
        what=_("The endpoint entered for {instance} or its credential knows no such interface."),
        user=_ASK_ADMIN,
        admin=_("Correct the endpoint or the region: get-om-url does not exist everywhere."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.ENDPOINT_NOT_ALLOWED: Failure(
        title=_("The portal may not call this address"),
        what=_("The endpoint entered for {instance} or its credential is not among those allowed; nothing was sent."),
        user=_ASK_ADMIN,
        admin=_("Correct the endpoint, or have the operators add it to CLOUD_ENDPOINTS."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.SOURCE_ADDRESS_REFUSED: Failure(
        title=_("Huawei Cloud does not accept calls from this portal"),
        what=_("The gateway refused the network address of the portal's server."),
        user=_ASK_ADMIN,
        admin=_("Check access control by source address in Huawei Cloud, and the portal's egress."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.REQUEST_REFUSED: Failure(
        title=_("Huawei Cloud refused the request"),
        what=_("Huawei Cloud found something in the request that it does not accept."),
        user=_ASK_ADMIN,
        admin=_("The technical part has its code and text. Check address, account name and server id."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.HEADERS_TOO_LARGE: Failure(
        title=_("The portal's request is too large for the bastion service"),
        what=_("The gateway refused the request because of its size."),
        user=_ASK_ADMIN,
        admin=_("The token grows with the IAM user's roles: use an IAM user with only the one permission it needs."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.LOGIN_ADDRESS_UNKNOWN: Failure(
        title=_("The link leads to an address that the portal does not know"),
        what=_("Huawei Cloud made a link, but not to a login address entered for {instance}. It was thrown away."),
        user=_ASK_ADMIN,
        admin=_("If the address shown belongs to the bastion, add it to the instance's login addresses."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    # --- no usable answer ------------------------------------------------------------------------
    Cause.CLOUD_TIMEOUT: Failure(
        title=_("Huawei Cloud did not answer in time"),
        what=_("There was no answer within the time a launch may take."),
        user=_RETRY_THEN_TELL,
        admin=_("See whether other launches fail too; check Huawei Cloud's status and the portal's egress."),
        whose_move=Mover.HUAWEI_CLOUD,
        retry=Retry.NOW,
    ),
    Cause.CLOUD_UNREACHABLE: Failure(
        title=_("Huawei Cloud cannot be reached"),
        what=_("The connection to Huawei Cloud could not be made, or broke."),
        user=_RETRY_THEN_TELL,
        admin=_("Check name resolution, the egress proxy and firewalls, then Huawei Cloud's status."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.NOW,
    ),
    Cause.CLOUD_TLS: Failure(
        title=_("The connection to Huawei Cloud is not trustworthy"),
        what=_("The other side could not prove that it is Huawei Cloud, so nothing was sent."),
        user=_ASK_ADMIN,
        admin=_("Check the endpoint, a proxy that opens TLS, and CLOUD_CA_BUNDLE."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.AFTER_CHANGE,
    ),
    Cause.CLOUD_SERVER_ERROR: Failure(
        title=_("Huawei Cloud has an error of its own"),
        what=_("Huawei Cloud answered that it has an internal error."),
        user=_RETRY_THEN_TELL,
        admin=_("Check Huawei Cloud's status; quote the request id to its support."),
        whose_move=Mover.HUAWEI_CLOUD,
        retry=Retry.SOON,
    ),
    Cause.CLOUD_THROTTLED: Failure(
        title=_("Huawei Cloud asks to slow down"),
        what=_("Too many requests reached Huawei Cloud in a short time."),
        user=_("Wait a moment, then try again."),
        admin=_("If this comes often, ask Huawei Cloud for a higher limit, or look for other users of this IAM user."),
        whose_move=Mover.YOU,
        retry=Retry.SOON,
    ),
    Cause.ANSWER_UNREADABLE: Failure(
        title=_("Huawei Cloud's answer could not be read"),
        what=_("What came back is not what the documentation promises; the portal opens nothing on such an answer."),
        user=_RETRY_THEN_TELL,
        admin=_("Something between the portal and Huawei Cloud may answer in its place: a proxy, a captive page."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.SOON,
    ),
    Cause.LINK_UNUSABLE: Failure(
        title=_("Huawei Cloud's link cannot be used"),
        what=_("The answer said success, but its link is missing or not safe to send a browser to."),
        user=_RETRY_THEN_TELL,
        admin=_("Quote the request id to Huawei Cloud's support; the technical part says what is wrong with the link."),
        whose_move=Mover.PORTAL_ADMIN,
        retry=Retry.SOON,
    ),
    # --- the portal itself -----------------------------------------------------------------------
    Cause.BUSY: Failure(
        title=_("The portal is busy"),
        what=_("As many launches as the portal can hold are waiting for Huawei Cloud; yours was not sent."),
        user=_("Try again in a few seconds."),
        admin=_("Huawei Cloud is slow, or WEB_THREADS is too small for the number of launches."),
        whose_move=Mover.YOU,
        retry=Retry.SOON,
    ),
    Cause.OUT_OF_ATTEMPTS: Failure(
        title=_("The bastion did not get ready"),
        what=_("{instance} was still getting ready at the last try."),
        user=_("Wait some minutes, then try again. If it stays like this, tell {support} the reference below."),
        admin=_("Look at the instance in the Cloud Bastion Host console."),
        whose_move=Mover.HUAWEI_CLOUD,
        retry=Retry.SOON,
    ),
    Cause.ABANDONED: Failure(
        title=_("This launch was not finished"),
        what=_("It was interrupted, or nobody waited for it. No link was handed to a browser as far as is recorded."),
        user=_("Open it again if you still need it."),
        admin=_("A restart of the portal ends launches like this. Otherwise nothing to repair."),
        whose_move=Mover.YOU,
        retry=Retry.NOW,
    ),
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """An entry with its placeholders filled: plain text, which templates escape."""

    cause: Cause
    title: str
    what: str
    opened_text: str
    whose_move: Mover
    whose_move_label: str
    next_step: str
    retry: Retry
    retry_label: str
    retry_after_seconds: int | None
    admin_remedy: str
    contact: str
    contact_label: str
    mail_link: str


def explain(cause: Cause | str, *, launch: Launch | None = None, account: HostAccount | None = None) -> Explanation:
    """The catalogue's words for one launch, or for one account that cannot be opened.

    Raises: ValueError for a cause that is not in the catalogue.
    """
    cause = Cause(cause)
    failure = CATALOGUE[cause]
    if account is None and launch is not None and launch.account_id:
        account = launch.account
    host = account.host if account else None
    support = settings.SUPPORT_CONTACT or gettext("a portal admin")
    owner = (host.owner if host else "") or gettext("the host's owner")
    facts = {
        "host": (launch.host_name if launch else "") or (host.name if host else gettext("this host")),
        "account": (launch.account_name if launch else "") or (account.name if account else gettext("this account")),
        "instance": (launch.instance_name if launch else "")
        or (host.instance.name if host else gettext("the bastion")),
        "address": (launch.host_address if launch else "") or (host.address if host else ""),
        "iam_user": (launch.iam_user if launch else "") or gettext("the portal's IAM user"),
        "owner": owner,
        "support": support,
    }
    contact, contact_label = _contact(failure.whose_move, host)
    title, what = _filled(failure.title, facts), _filled(failure.what, facts)
    return Explanation(
        cause=cause,
        title=title,
        what=what,
        opened_text=gettext("A session may be open.") if failure.opened else gettext("Nothing was opened."),
        whose_move=failure.whose_move,
        whose_move_label=str(failure.whose_move.label),
        next_step=_filled(failure.user, facts),
        retry=failure.retry,
        retry_label=str(failure.retry.label),
        retry_after_seconds=launch.retry_after_seconds if launch else None,
        admin_remedy=_filled(failure.admin, facts),
        contact=contact,
        contact_label=contact_label,
        mail_link=_mail_link(contact, [title, what, ""], facts, cause, launch),
    )


def _contact(mover: Mover, host: Host | None) -> tuple[str, str]:
    """Whom to write to, and the words before that. Nobody when it is the person's own move, or nobody is known."""
    if mover is Mover.YOU:
        return "", ""
    if mover is Mover.HOST_OWNER and host is not None and host.contact:
        return host.contact, str(mover.contact_label)
    if mover is Mover.HOST_OWNER:
        return settings.SUPPORT_CONTACT, gettext("No contact is entered for the host. Somebody who can find out")
    return settings.SUPPORT_CONTACT, str(mover.contact_label)


def _mail_link(contact: str, lines: list[str], facts: dict[str, str], cause: Cause, launch: Launch | None) -> str:
    """To whoever has the next move. What stands in it, the person who sends it sees on the page, too."""
    asked_at = launch.created_at if launch else None
    about = [
        (gettext("Reference"), launch.reference if launch else ""),
        (gettext("Asked at"), f"{asked_at.astimezone(dt.UTC):%Y-%m-%d %H:%M UTC}" if asked_at else ""),
        (gettext("Host"), facts["host"]),
        (gettext("Address"), facts["address"]),
        (gettext("Account"), facts["account"]),
        (gettext("Bastion"), facts["instance"]),
        (gettext("Cause"), str(cause)),
    ]
    lines += [f"{name}: {value}" for name, value in about if value]
    subject = f"{settings.SITE_NAME}: {facts['account']}@{facts['host']}" + (f" ({launch.reference})" if launch else "")
    return mail_link(contact, subject=subject, lines=[*lines, ""])


def _filled(text: Text, facts: dict[str, str]) -> str:
    """Only our own texts are formats; what is filled in is never read as one."""
    return str(text).format_map(facts)
