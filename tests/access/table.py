"""Every address of the portal, and what each kind of person gets there: the one table.

An entry is the answer to GET and the answer to POST (of nothing), each in the order of `PEOPLE`. `in`: sent to the
sign-in. `to`: sent elsewhere. A number: that status.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

Answers = tuple[Any, ...]

EVERYBODY: Answers = (200,) * 6
NOWHERE: Answers = (404,) * 6
SIGNED_IN: Answers = ("in", 200, 200, 200, 200, 200)
ON: Answers = ("in", "to", "to", "to", "to", "to")
NOT_FOUND: Answers = ("in", 404, 404, 404, 404, 404)
NO_POST: Answers = ("in", 405, 405, 405, 405, 405)
NEVER_POST: Answers = (405,) * 6
STAFF_ONLY: Answers = ("in", 200, 404, 404, 404, 404)

READERS: Answers = ("in", 403, 403, 200, 200, 200)
ADMINS: Answers = ("in", 403, 403, 403, 200, 200)
NOBODY: Answers = ("in", 403, 403, 403, 403, 403)
LED_ON: Answers = ("in", 403, 403, "to", "to", "to")
ADMINS_LED_ON: Answers = ("in", 403, 403, 403, "to", "to")
UNKNOWN: Answers = ("in", 403, 403, 404, 404, 404)
WRONG_METHOD: Answers = ("in", 403, 403, 405, 405, 405)

TABLE: dict[str, tuple[Answers, Answers]] = {
    "healthz": (EVERYBODY, NEVER_POST),
    "readyz": (EVERYBODY, NEVER_POST),
    "metrics": (NOWHERE, NOWHERE),  # what guards it is a token, not a person
    "": (SIGNED_IN, NO_POST),
    "hosts/": (ON, NO_POST),
    "hosts/<int:pk>/": (STAFF_ONLY, NO_POST),
    "favourites/": (NO_POST, NOT_FOUND),
    "preferences/": (SIGNED_IN, ("in", "to", "to", "to", "to", "to")),
    "preferences/language/": (NEVER_POST, (400,) * 6),
    "brand.css": (EVERYBODY, NEVER_POST),
    "worklist/": (SIGNED_IN, ("in", 422, 422, 422, 422, 422)),
    "launches/": (ON, NOT_FOUND),
    "launches/opening/": (EVERYBODY, NEVER_POST),
    "launches/status/<uuid:once>/": (("in", 204, 204, 204, 204, 204), NO_POST),
    "launches/<str:reference>/": (STAFF_ONLY, NO_POST),
    "launches/<str:reference>/attempt/": (ON, ("in", "to", 404, 404, 404, 404)),
    "activity/": (SIGNED_IN, NO_POST),
    "activity/access/": (SIGNED_IN, NO_POST),
    "activity/export/": (SIGNED_IN, NO_POST),
    "accounts/login/": ((200, "to", "to", "to", "to", "to"), (200, "to", "to", "to", "to", "to")),
    "accounts/logout/": (("to", 200, 200, 200, 200, 200), ("to",) * 6),
    "accounts/inactive/": (EVERYBODY, NEVER_POST),
    "accounts/reauthenticate/": (SIGNED_IN, SIGNED_IN),
    "accounts/password/change/": (SIGNED_IN, SIGNED_IN),
}

ADMIN: dict[str, tuple[Answers, Answers]] = {
    "": (READERS, READERS),
    "login/": (LED_ON, LED_ON),
    "logout/": (LED_ON, LED_ON),
    "password_change/": (LED_ON, LED_ON),
    "password_change/done/": (LED_ON, LED_ON),
    "autocomplete/": (NOBODY, WRONG_METHOD),  # without saying which field asks
    "jsi18n/": (READERS, WRONG_METHOD),
    "search/": (UNKNOWN, UNKNOWN),
    "why/": (READERS, WRONG_METHOD),
    "r/<path:content_type_id>/<path:object_id>/": (UNKNOWN, UNKNOWN),
    "^(?P<app_label>omaccess|accounts|auth)/$": (READERS, READERS),
    "(?P<url>.*)$": (UNKNOWN, UNKNOWN),
    "omaccess/bastioninstance/<int:instance_id>/add-address/": (WRONG_METHOD, ADMINS_LED_ON),
    "omaccess/hostaccount/<int:account_id>/test/": (WRONG_METHOD, ADMINS_LED_ON),
    "omaccess/iamcredential/<int:credential_id>/verify/": (WRONG_METHOD, ADMINS_LED_ON),
    "omaccess/iamcredential/<int:credential_id>/instances/": (ADMINS, ADMINS),
    "omaccess/iamcredential/<int:credential_id>/instances/update/": (WRONG_METHOD, ADMINS_LED_ON),
    "omaccess/grant/<int:grant_id>/revoke/": (ADMINS, ADMINS_LED_ON),
    "omaccess/auditevent/export/": (WRONG_METHOD, ("in", 403, 403, 400, 403, 400)),
}

EDITABLE = ["omaccess/bastioninstance/", "omaccess/host/", "omaccess/iamcredential/", "omaccess/grant/"]
EDITABLE += ["accounts/user/", "auth/group/"]
READ_ONLY = ["omaccess/hostaccount/", "omaccess/launch/", "omaccess/auditevent/"]
"""Accounts are changed at their host; launches and events make themselves, and nobody changes them."""

for _model in [*EDITABLE, *READ_ONLY]:
    _may = ADMINS if _model in EDITABLE else NOBODY
    # The name of a person and of a role is fixed: a form without anything in it is whole.
    _saves = ADMINS_LED_ON if _model.startswith(("accounts/", "auth/")) else _may
    ADMIN |= {
        _model: (READERS, READERS),
        f"{_model}add/": (_may, _may),
        f"{_model}<path:object_id>/change/": (READERS, _saves),
        f"{_model}<path:object_id>/history/": (READERS, READERS),
        f"{_model}<path:object_id>/delete/": (NOBODY, NOBODY),
        f"{_model}<path:object_id>/": (LED_ON, LED_ON),
    }

TABLE |= {f"admin/{route}": answers for route, answers in ADMIN.items()}
TABLE["admin/login/"] = (("in", 403, 403, "to", "to", "to"), ("in", 403, 403, "to", "to", "to"))


def routes() -> Iterator[str]:
    """Every route that the portal's own URLconf resolves."""

    def walk(patterns: list[Any], prefix: str) -> Iterator[str]:
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, path)
            elif isinstance(pattern, URLPattern):
                yield path

    yield from dict.fromkeys(walk(get_resolver("portal.urls").url_patterns, ""))
