"""Finding a host in seconds: what the search box understands, as one queryset.

Several terms must all match. `key=value` is a label. `key:value` is a label too, but also a name or address,
because IPv6 addresses are full of colons. Everything else is a name or address, whole or from its beginning.
Case is ignored.
"""

from __future__ import annotations

from django.db.models import Case, IntegerField, Q, Value, When

from omaccess.forms import one_line
from omaccess.models.access import HostQuerySet
from omaccess.models.inventory import Label, address_key

MAX_QUERY = 200
MAX_TERMS = 8


def clean_query(text: str) -> str:
    """What was typed, cut, with everything unprintable as a space (PostgreSQL refuses NUL)."""
    return " ".join(one_line(text[:MAX_QUERY]).split())


def find(hosts: HostQuerySet, text: str) -> HostQuerySet:
    """The hosts that match every term, those met exactly by a term first, then by name."""
    terms = clean_query(text).split()[:MAX_TERMS]
    exact = Q(pk__in=[])
    for term in terms:
        hosts = hosts.filter(_matches(term))
        exact |= _is_exactly(term)
    return hosts.annotate(
        search_rank=Case(When(exact, then=Value(0)), default=Value(1), output_field=IntegerField())
    ).order_by("search_rank", "name", "id")


def with_label(hosts: HostQuerySet, text: str) -> HostQuerySet:
    """The filter behind a label that was clicked: `key=value`, exactly. Anything else finds nothing."""
    key, is_label, value = clean_query(text).partition("=")
    if not is_label:
        return hosts.none()
    return hosts.filter(pk__in=Label.objects.filter(key=key, value=value).values("host"))


def _matches(term: str) -> Q:
    key, is_label, value = term.partition("=")
    if is_label and key:
        return _has_label(key, value)
    named = Q(name__istartswith=term) | Q(address__istartswith=term) | _has_address(term)
    named |= Q(address_key__startswith=term.lower())
    key, is_label, value = term.partition(":")
    if is_label and key and value:
        named |= _has_label(key, value)
    return named


def _is_exactly(term: str) -> Q:
    return Q(name__iexact=term) | Q(address__iexact=term) | _has_address(term)


def _has_address(term: str) -> Q:
    """The same address in another spelling, such as a long IPv6 form."""
    return Q(address_key=address_key(term))


def _has_label(key: str, value: str) -> Q:
    return Q(pk__in=Label.objects.filter(key__iexact=key, value__iexact=value).values("host"))
