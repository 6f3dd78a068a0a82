"""Finding a host in seconds: what the search box understands, as one queryset.

Several terms must all match. `key=value` is a label. `account:root` is an account that may be opened. `key:value` is a
label too, but also a part of a text, because IPv6 addresses are full of colons. Everything else is any part of a name,
an address or an owner; of fewer than three characters, the beginning of a name or address. Case, accents and the width
of letters are ignored. Nothing is a wildcard.

However many hosts there are, only few are looked at: a term that few hosts match is asked first, and their ids go into
the query. Where every term matches many, the first of each way are taken from its index.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import CharField, Exists, IntegerField, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat

from omaccess.models import access
from omaccess.models.access import HostAccountQuerySet, HostQuerySet, few
from omaccess.models.inventory import Host, HostAccount, Label
from omaccess.models.search_key import SearchKey, begins, fold
from omaccess.search import sql
from omaccess.search.sql import Condition, OnHost
from omaccess.search.terms import MAX_QUERY, Term, account_names, clean_query, parts_of, terms_of
from omaccess.search_index import HOSTS

__all__ = ["MAX_QUERY", "Narrowed", "account_names", "clean_query", "find", "fold", "with_label"]

IN_ORDER = (SearchKey("name"), "id")
"""The order of lists of hosts; an index has it."""
FEW_IN_ORDER = (SearchKey(Concat("name", Value(""))), "id")
"""The same order, but of no index: PostgreSQL would walk all hosts by that index to meet a few known ones."""
SOME = 500
"""Of very many hits so many are put in order."""


def find(hosts: HostQuerySet, text: str, *, first: int) -> HostQuerySet:
    """As `Narrowed.find`, among these hosts."""
    return Narrowed(hosts).find(text, first=first)


def with_label(hosts: HostQuerySet, text: str) -> HostQuerySet:
    """As `Narrowed.with_label`, among these hosts."""
    return Narrowed(hosts).with_label(text).rows()


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Hosts, and the ids of the few among which all of them are; None when they can be any.

    The ids of several conditions are met here: given two lists, PostgreSQL would try every pair of them. `accounts`
    are those that may be known of, None for all. `are_most` says that hardly any host that there is is left out.
    """

    hosts: HostQuerySet
    ids: frozenset[int] | None = None
    accounts: HostAccountQuerySet | None = None
    are_most: bool = False

    def rows(self) -> HostQuerySet:
        return self.hosts if self.ids is None else self.hosts.filter(OnHost(sql.is_among(self.ids)))

    def among(self, ids: Iterable[int]) -> Narrowed:
        """Only those of these ids."""
        return replace(self, ids=frozenset(ids) if self.ids is None else self.ids.intersection(ids))

    def with_label(self, text: str) -> Narrowed:
        """The filter behind a label that was clicked: `key=value`, exactly. Anything else finds nothing."""
        key, is_label, value = clean_query(text).partition("=")
        labels = Label.objects.filter(key=key, value=value) if is_label else Label.objects.none()
        condition = Q(Exists(labels.filter(host=OuterRef("pk"))))
        return self._meeting(labels.values_list("host_id", flat=True), condition)

    def of_instance(self, instance_id: int) -> Narrowed:
        hosts = Host.objects.filter(instance=instance_id)
        return self._meeting(hosts.values_list("pk", flat=True), Q(instance=instance_id))

    def find(self, text: str, *, first: int) -> HostQuerySet:
        """The first hosts that match every term. At least `first`, if there are.

        Those whose whole name or address it is come first, then names that begin with the first term, then names with
        a word that does, then addresses that begin so, by address, then any part; all others by name. Costs a query
        for each term, and at most six more when all of them match many hosts.
        """
        query = clean_query(text)
        terms = terms_of(query)
        accounts = HostAccount.objects.all() if self.accounts is None else self.accounts
        matching = replace(self, hosts=self.hosts.filter(*(term.matches(accounts) for term in terms)))
        near = matching._near(terms)
        named = next((term for term in terms if term.is_text), None)
        if named is None:
            return near.rows().order_by(*(IN_ORDER if near.ids is None else FEW_IN_ORDER))
        exact = _is_exactly(terms, query)
        if near.ids is None:
            near = near.among(near._first_of_each_way(terms, named, exact, first))
        ranked = near.rows().annotate(search_rank=_rank(named, exact))
        return ranked.order_by("search_rank", _key(named), "id")

    def _meeting(self, hits: QuerySet[Any, int], condition: Q) -> Narrowed:
        """Only the hosts with these ids, when they are few; else those that meet the condition that says the same."""
        ids = few(hits)
        if ids is None:
            return replace(self, hosts=self.hosts.filter(condition), are_most=False)
        return self.among(ids)

    def _near(self, terms: Sequence[Term]) -> Narrowed:
        """Among the hits of the first term that few hosts match, or of all parts together."""
        for term in terms:
            ids = term.few()
            if ids is not None:
                return self.among(ids)
        parts = parts_of(terms)
        if self.ids is None and len(parts) > 1:
            hits = sql.with_parts(parts, access.FEW + 1)
            met = sql.ids(f"SELECT id FROM ({hits.text}) hits", hits.params)  # noqa: S608
            if len(met) <= access.FEW:
                return self.among(met)
        return self

    def _first_of_each_way(self, terms: Sequence[Term], named: Term, exact: Condition, first: int) -> set[int]:
        """The ids of the first hosts of each rank, where very many match."""
        parts, some = parts_of(terms), max(first, SOME)
        if self.are_most and len(parts) == len(terms):
            # Nearly every hit can be shown, so the indexes alone are asked.
            return _first_hits(parts, named, exact, some)
        walked = set(self.hosts.order_by(*IN_ORDER).values_list("pk", flat=True)[:first])
        if len(walked) < first:
            return walked  # these are all
        for field in ("name", "address"):
            way = self.hosts.filter(begins(field, named.typed)).order_by(SearchKey(field), "id")
            walked.update(way.values_list("pk", flat=True)[:first])
        return walked | _first_hits(parts, named, exact, some)


def _first_hits(parts: Sequence[str], named: Term, exact: Condition, some: int) -> set[int]:
    """Ids of hosts that a term meets exactly, by the beginning of name or address, and of some with all the parts."""
    name, address = sql.key("name"), sql.key("address")
    ways = [
        _first(exact, "id", some),
        _first(sql.begins("{name}", named.typed), f"{name}, id", some),
        _first(sql.begins("{address}", named.typed), f"{address}, id", some),
    ]
    if parts:
        # Among as many hits as are looked at anywhere, those that begin a word are the best.
        hits, word = sql.with_parts(parts, access.FEW), sql.word_begins(named.folded).of_hosts()
        text = f"SELECT id FROM ({hits.text}) hits ORDER BY ({word.text}) DESC, id LIMIT {some}"  # noqa: S608
        ways.append(Condition(text, hits.params + word.params))
    text = " UNION ALL ".join(f"SELECT id FROM ({way.text}) way" for way in ways)  # noqa: S608
    return set(sql.ids(text, [value for way in ways for value in way.params]))


def _first(condition: Condition, order: str, most: int) -> Condition:
    text, params = condition.of_hosts()
    return Condition(f"SELECT id FROM {HOSTS} WHERE {text} ORDER BY {order} LIMIT {most}", params)  # noqa: S608


def _is_exactly(terms: Sequence[Term], query: str) -> Condition:
    """One of the terms is the whole name or address, or all of them together are the name."""
    exact = [term.is_exactly() for term in terms if term.is_text]
    if len(terms) > 1:
        exact.append(sql.name_is(fold(query)))
    return reduce(or_, exact)


def _rank(term: Term, exact: Condition) -> OnHost:
    """From 0, the whole name or address, to 4, any part."""
    ways = [exact, term.begins_name(), sql.word_begins(term.folded), term.begins_address()]
    cases = " ".join(f"WHEN {way.text} THEN {rank}" for rank, way in enumerate(ways))
    params = tuple(value for way in ways for value in way.params)
    return OnHost(Condition(f"CASE {cases} ELSE {len(ways)} END", params), output_field=IntegerField())


def _key(term: Term) -> OnHost:
    """What stands behind each other in a rank: names, but addresses where only they begin so."""
    name, address = sql.key("{name}"), sql.key("{address}")
    begun, named = term.begins_address(), term.begins_name()
    text = f"CASE WHEN ({begun.text}) AND NOT ({named.text}) THEN {address} ELSE {name} END"
    return OnHost(Condition(text, begun.params + named.params), output_field=CharField())
