"""Changing people and groups. Nobody changes their own groups or switches themselves on or off."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from omaccess.actions.changes import Change, Facts, OwnReach
from omaccess.audit import Kind

_OWN = ("is_active", "is_superuser", "groups")


class UserChange(Change[User]):
    """A person, with the groups they are in."""

    created = Kind.USER_CREATED
    changed = Kind.USER_CHANGED

    def lock(self, subject_id: int) -> None:
        """The person's row stands for their memberships too: a launch holds it while it decides."""
        User.objects.select_for_update(no_key=True).get(pk=subject_id)

    def facts(self, subject_id: int) -> Facts:
        user = User.objects.get(pk=subject_id)
        self._password = user.password
        return {
            "username": user.username,
            "name": user.name,
            "email": user.email,
            "is_active": user.is_active,
            "is_superuser": user.is_superuser,
            "groups": sorted(user.groups.values_list("name", flat=True)),
            "password": self._password_fact(user),
        }

    def look(self, subject_id: int) -> None:
        self._password_before = self._password

    def check(self, by: User, subject: User, after: Facts) -> None:
        own = self.subject_id == by.pk
        if own and any(self.before[name] != after[name] for name in _OWN):
            raise OwnReach(
                "own_membership",
                _(
                    "Nothing was saved: nobody changes their own groups, or switches themselves on or off. "
                    "Another admin has to do it."
                ),
                target=subject,
            )

    def _password_fact(self, user: User) -> str:
        """Whether one is set, and whether it was replaced; the hash stays where it is."""
        if not user.has_usable_password():
            return "none"
        earlier = getattr(self, "_password_before", None)
        return "set" if earlier in (None, user.password) else "replaced"


class GroupChange(Change[Group]):
    """A group by its name; who is in it is changed at the person."""

    created = Kind.GROUP_CREATED
    changed = Kind.GROUP_CHANGED

    def lock(self, subject_id: int) -> None:
        Group.objects.select_for_update(no_key=True).get(pk=subject_id)

    def facts(self, subject_id: int) -> Facts:
        return {"name": Group.objects.values_list("name", flat=True).get(pk=subject_id)}

    def check(self, by: User, subject: Group, after: Facts) -> None:
        """A name opens nothing."""
