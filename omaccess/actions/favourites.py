"""Favourites: hosts that somebody wants on top of their own list. They open nothing, so they are not audited."""

from __future__ import annotations

from django.db.models import BigIntegerField

from accounts.models import User
from omaccess.compiled import Compiled, given
from omaccess.models import Favourite, Host

MOST = 50

_HOSTS = Compiled(
    lambda: Favourite.objects.filter(user=given("user", BigIntegerField())).values_list("host_id", flat=True)
)


class TooManyFavourites(Exception):
    """Somebody has as many as a list can be read with."""


def hosts_of(user: User) -> list[int]:
    """The ids of this person's favourites, in the order of their names; also of hosts they may open no longer."""
    return _HOSTS.rows(user=user.pk)


def add(*, host: Host, by: User) -> None:
    """Make it one of this person's favourites; it may be one already. Raises: TooManyFavourites."""
    if not Favourite.objects.filter(user=by, host=host).exists():
        if Favourite.objects.filter(user=by).count() >= MOST:
            raise TooManyFavourites
        Favourite.objects.get_or_create(user=by, host=host)


def remove(*, host: Host, by: User) -> None:
    """Take it away; it may be none."""
    Favourite.objects.filter(user=by, host=host).delete()
