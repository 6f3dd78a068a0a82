"""Finding a host in seconds: what the search box understands, as one queryset.

Several terms must all match. `key=value` is a label. `key:value` is a label too, but also a name or address,
because IPv6 addresses are full of colons. Everything else is a name or address, whole or from its beginning.
Case is ignored.

However many hosts there are, only few are looked at: a term that few hosts match is asked first, and their ids go into
the query. Where every term matches many, indexes are walked in their order, which soon fills a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import BooleanField, Case, Exists, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Concat

from omaccess.forms import one_line
from omaccess.models.access import HostQuerySet, few
from omaccess.models.inventory import Host, Label, address_key
from omaccess.models.search_key import SearchKey, begins, equals

MAX_QUERY = 200
MAX_TERMS = 8
IN_ORDER = (SearchKey("name"), "id")
"""The order of lists of hosts; an index has it."""
FEW_IN_ORDER = (SearchKey(Concat("name", Value(""))), "id")
"""The same order, but of no index: PostgreSQL would walk all hosts by that index to meet a few known ones."""


def clean_query(text: str) -> str:
    """What was typed, cut, with everything unprintable as a space (PostgreSQL refuses NUL)."""
    return " ".join(one_line(text[:MAX_QUERY]).split())


def find(hosts: HostQuerySet, text: str, *, first: int) -> HostQuerySet:
    """As `Narrowed.find`, among these hosts."""
    return Narrowed(hosts).find(text, first=first)


def with_label(hosts: HostQuerySet, text: str) -> HostQuerySet:
    """As `Narrowed.with_label`, among these hosts."""
    return Narrowed(hosts).with_label(text).rows()


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Hosts, and the ids of the few among which all of them are; None when they can be any.

    The ids of several conditions are met here: given two lists, PostgreSQL would try every pair of them.
    """

    hosts: HostQuerySet
    ids: frozenset[int] | None = None

    def rows(self) -> HostQuerySet:
        return self.hosts if self.ids is None else self.hosts.filter(pk__in=self.ids)

    def with_label(self, text: str) -> Narrowed:
        """The filter behind a label that was clicked: `key=value`, exactly. Anything else finds nothing."""
        key, is_label, value = clean_query(text).partition("=")
        labels = Label.objects.filter(key=key, value=value) if is_label else Label.objects.none()
        return self._meeting(labels.values_list("host_id", flat=True), _labelled(labels))

    def of_instance(self, instance_id: int) -> Narrowed:
        hosts = Host.objects.filter(instance=instance_id)
        return self._meeting(hosts.values_list("pk", flat=True), Q(instance=instance_id))

    def find(self, text: str, *, first: int) -> HostQuerySet:
        """The first hosts that match every term. At least `first`, if there are.

        Those met exactly by a term come first, then those whose name begins so, by name, then the others, by address.
        Costs a query for each term, and five more when all of them match many hosts, unless these are few anyway.
        """
        terms = clean_query(text).split()[:MAX_TERMS]
        near = self
        for term in terms:
            near = near._meeting(_hits(term), _unindexed(_matches(term)))
        named = next((term for term in terms if not _label_of(term)), None)
        if named is None:
            return near.rows().order_by(*(IN_ORDER if near.ids is None else FEW_IN_ORDER))
        exact = Q()
        for term in terms:
            exact |= _is_exactly(term)
        if near.ids is None:
            near = Narrowed(near.hosts, frozenset(_first_of_each_way(near.hosts, named, exact, first)))
        by_name = begins("name", named)
        rank = Case(When(exact, then=Value(0)), When(by_name, then=Value(1)), default=Value(2))
        key = Case(When(exact | by_name, then=SearchKey("name")), default=SearchKey("address"))
        return near.rows().annotate(search_rank=rank).order_by("search_rank", key, "id")

    def _meeting(self, hits: QuerySet[Any, int], condition: Q) -> Narrowed:
        """Only the hosts with these ids, when they are few; else those that meet the condition that says the same."""
        ids = few(hits)
        if ids is None:
            return Narrowed(self.hosts.filter(condition), self.ids)
        return Narrowed(self.hosts, frozenset(ids if self.ids is None else self.ids & ids))


def _first_of_each_way(hosts: HostQuerySet, term: str, exact: Q, first: int) -> set[int]:
    """The ids of the first hosts that a term meets exactly, by name and by address: each a walk along one index."""
    ids = set(Host.objects.filter(exact).order_by(*FEW_IN_ORDER).values_list("pk", flat=True)[:first])
    for field in ("name", "address", "address_key"):
        way = hosts.filter(begins(field, term)).order_by(SearchKey(field), "id")
        ids.update(way.values_list("pk", flat=True)[:first])
    if label := _label_or_name(term):
        labelled = hosts.filter(_labelled(_labels(*label))).order_by(*IN_ORDER)
        ids.update(labelled.values_list("pk", flat=True)[:first])
    return ids


def _unindexed(condition: Q) -> Q:
    """The same, but so that no index answers it: SQLite would read all of very many hits, and sort them."""
    return Q(Case(When(condition, then=Value(True)), default=Value(False), output_field=BooleanField()))


def _label_of(term: str) -> tuple[str, str] | None:
    """What a term says when it is a label and cannot be anything else."""
    key, is_label, value = term.partition("=")
    return (key, value) if is_label and key else None


def _label_or_name(term: str) -> tuple[str, str] | None:
    key, is_label, value = term.partition(":")
    return (key, value) if is_label and key and value else None


def _names(term: str) -> list[Q]:
    """The ways a name or an address can match; each is one stretch of one index."""
    return [begins("name", term), begins("address", term), begins("address_key", term), _has_address(term)]


def _hits(term: str) -> QuerySet[Any, int]:
    """Ids of the hosts that match, some of them twice: one short query for each way, each by its own index."""
    if label := _label_of(term):
        return _labels(*label).values_list("host_id", flat=True)
    ways: list[QuerySet[Any, int]] = [
        Host.objects.filter(way).order_by().values_list("pk", flat=True) for way in _names(term)
    ]
    if label := _label_or_name(term):
        ways.append(_labels(*label).order_by().values_list("host_id", flat=True))
    return ways[0].union(*ways[1:], all=True)


def _matches(term: str) -> Q:
    """The same as a condition on a host that is looked at anyway."""
    if label := _label_of(term):
        return _labelled(_labels(*label))
    matches = Q()
    for way in _names(term):
        matches |= way
    if label := _label_or_name(term):
        matches |= _labelled(_labels(*label))
    return matches


def _is_exactly(term: str) -> Q:
    return equals("name", term) | equals("address", term) | _has_address(term)


def _has_address(term: str) -> Q:
    """The same address in another spelling, such as a long IPv6 form."""
    return Q(address_key=address_key(term))


def _labels(key: str, value: str) -> QuerySet[Label]:
    return Label.objects.filter(equals("key", key), equals("value", value))


def _labelled(labels: QuerySet[Label]) -> Q:
    return Q(Exists(labels.filter(host=OuterRef("pk"))))
