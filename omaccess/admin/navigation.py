"""The sidebar. Entries one may not see are left out by unfold, by the permission each names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups of links in unfold's form."""
    return [
        {"items": [_item(_("Overview"), "space_dashboard", "admin:index")]},
        {
            "title": _("Access"),
            "separator": True,
            "items": [
                _item(_("Grants"), "key", "admin:omaccess_grant_changelist", "omaccess.view_grant"),
                _item(_("Why can they, or not?"), "contact_support", "admin:why", "omaccess.view_grant"),
                _item(_("People"), "person", "admin:accounts_user_changelist", "accounts.view_user"),
                _item(_("Groups"), "group", "admin:auth_group_changelist", "auth.view_group"),
            ],
        },
        {
            "title": _("Inventory"),
            "separator": True,
            "items": [
                _item(_("Hosts"), "dns", "admin:omaccess_host_changelist", "omaccess.view_host"),
                _item(
                    _("Host accounts"),
                    "terminal",
                    "admin:omaccess_hostaccount_changelist",
                    "omaccess.view_hostaccount",
                ),
                _item(
                    _("Bastion instances"),
                    "castle",
                    "admin:omaccess_bastioninstance_changelist",
                    "omaccess.view_bastioninstance",
                ),
                _item(
                    _("IAM credentials"),
                    "passkey",
                    "admin:omaccess_iamcredential_changelist",
                    "omaccess.view_iamcredential",
                ),
            ],
        },
        {
            "title": _("Records"),
            "separator": True,
            "items": [
                _item(_("Launches"), "rocket_launch", "admin:omaccess_launch_changelist", "omaccess.view_launch"),
                _item(
                    _("Audit events"),
                    "receipt_long",
                    "admin:omaccess_auditevent_changelist",
                    "omaccess.view_auditevent",
                ),
            ],
        },
    ]


def _item(title: str | Promise, icon: str, name: str, permission: str = "") -> dict[str, Any]:
    item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse_lazy(name)}
    if permission:
        item["permission"] = _has(permission)
    return item


def _has(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)
