"""What usually goes wrong with an IAM credential, for exactly this one: said after saving, and after a refusal.

Nothing here asks the cloud, and nothing is forbidden by it: these are likelihoods.
"""

from __future__ import annotations

import re
from enum import Enum, StrEnum, auto

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from omaccess.cloud.regions import service_of
from omaccess.models import IamCredential

Text = str | Promise

POWERFUL_ROLES = {
    "te_admin": _("te_admin (tenant administrator: everything but IAM)"),
    "secu_admin": _("secu_admin (security administrator: IAM itself)"),
}

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"(?:\+|00)?[0-9][0-9 ()-]{6,}")
_ID = re.compile(r"[0-9a-fA-F]{32}")


class Mistake(StrEnum):
    """The three that are usual, in the order in which they are usual."""

    ACCOUNT_NAME = "account_name"
    HUAWEI_ID = "huawei_id"
    PERMISSION = "permission"


PERMISSIONS: dict[str, Text] = {
    IamCredential.Purpose.LAUNCH: _(
        "To launch it needs one permission, cbh:instance:getOmUrl, for the project of the instance, and nothing more."
    ),
    IamCredential.Purpose.READ: _(
        "To read it needs the permission to list CBH instances, for their project, and nothing more: never one that "
        "signs in to a bastion or makes admin links. The documents give its action no name."
    ),
}

_TEXTS: dict[Mistake, Text] = {
    Mistake.ACCOUNT_NAME: _(
        "The account name is mistaken for something else. It is the name of the Huawei Cloud account (IAM calls it "
        "domain), shown in the console under My Credentials as account name: neither the user's name nor an id."
    ),
    Mistake.HUAWEI_ID: _(
        "A HUAWEI ID is used: what people sign in to the console with, an e-mail address or a phone number. It cannot "
        "exchange a token. Create an IAM user in the account, with programmatic access and without login protection."
    ),
}


class _Look(Enum):
    ONE_NAME = auto()
    ACCOUNT_ID = auto()
    ACCOUNT_SIGN_IN = auto()
    USER_SIGN_IN = auto()
    USER_ID = auto()
    OTHER_SERVICE = auto()


_DOUBTS: dict[_Look, tuple[Mistake | None, Text]] = {
    _Look.ONE_NAME: (
        Mistake.ACCOUNT_NAME,
        _(
            "User name and account name are the same. That would be the account itself, which may do everything; the "
            "portal needs an IAM user of that account, with a name of its own."
        ),
    ),
    _Look.ACCOUNT_ID: (
        Mistake.ACCOUNT_NAME,
        _("The account name looks like the account's id (32 hexadecimal digits). The name is wanted."),
    ),
    _Look.ACCOUNT_SIGN_IN: (
        Mistake.ACCOUNT_NAME,
        _(
            "The account name looks like an e-mail address or a phone number. The account's name stands in the console "
            "under My Credentials."
        ),
    ),
    _Look.USER_SIGN_IN: (
        Mistake.HUAWEI_ID,
        _(
            "The user name looks like an e-mail address or a phone number, so it is probably a HUAWEI ID. A HUAWEI ID "
            "cannot exchange a token: create an IAM user."
        ),
    ),
    _Look.USER_ID: (None, _("The user name looks like a user's id (32 hexadecimal digits). The name is wanted.")),
    _Look.OTHER_SERVICE: (
        None,
        _("The IAM endpoint does not begin with iam; it looks like that of another service."),
    ),
}


def doubts(credential: IamCredential) -> list[tuple[Mistake | None, Text]]:
    """What looks wrong about who it is: which of the usual mistakes it would be, and a sentence."""
    account, user = credential.account_name.strip(), credential.user_name.strip()
    looks = {
        _Look.ONE_NAME: bool(account) and account.casefold() == user.casefold(),
        _Look.ACCOUNT_ID: _ID.fullmatch(account),
        _Look.ACCOUNT_SIGN_IN: _looks_like_a_sign_in(account),
        _Look.USER_SIGN_IN: _looks_like_a_sign_in(user),
        _Look.USER_ID: _ID.fullmatch(user),
        _Look.OTHER_SERVICE: service_of(credential.iam_endpoint) not in ("", "iam"),
    }
    return [_DOUBTS[look] for look, is_so in looks.items() if is_so]


def likely_mistakes(credential: IamCredential) -> list[Text]:
    """Why IAM may have refused it (401), the likeliest first: what it looks like, then what is usual."""
    suspected = [mistake for mistake, _text in doubts(credential) if mistake is not None]
    # IAM answers 401 to a wrong identity; a missing permission usually shows only at the next step, as a 403.
    order = [Mistake.ACCOUNT_NAME, Mistake.HUAWEI_ID, Mistake.PERMISSION]
    order.sort(key=lambda mistake: mistake not in suspected)
    texts: list[Text] = []
    if credential.last_success_at is not None:
        texts.append(_("It worked before with this password: most likely the password was changed in IAM, or expired."))
    return texts + [_TEXTS.get(mistake) or _permission_text(credential) for mistake in order]


def _permission_text(credential: IamCredential) -> Text:
    return _("A permission is missing, though that is usually refused as forbidden, not like this. %(which)s") % {
        "which": PERMISSIONS[credential.purpose]
    }


def _looks_like_a_sign_in(text: str) -> bool:
    return bool(_EMAIL.fullmatch(text) or _PHONE.fullmatch(text))
