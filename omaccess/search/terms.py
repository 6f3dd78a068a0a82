"""One word of what was typed into a search box: what it can mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from django.db.models import OuterRef, Q, Subquery, Value
from django.db.models.lookups import IsNull

from omaccess.forms import one_line
from omaccess.models import access
from omaccess.models.access import HostAccountQuerySet
from omaccess.models.inventory import address_key
from omaccess.models.search_key import equals, fold
from omaccess.search import sql
from omaccess.search.sql import Condition
from omaccess.search_index import HOSTS

MAX_QUERY = 200
MAX_TERMS = 8
ACCOUNT = "account"
"""The key of a term that names an account: `account:root`."""
_SAYS_ENOUGH = re.compile(r"[^\W_]{2}|[\W_][^\W_][\W_]")


def clean_query(text: str) -> str:
    """What was typed, cut, with everything unprintable as a space (PostgreSQL refuses NUL)."""
    return " ".join(one_line(text[:MAX_QUERY]).split())


@dataclass(frozen=True, slots=True)
class Term:
    """As it was typed. `label`, `account` and `is_text` say what it can mean; it can be a label and a text at once."""

    typed: str
    folded: str
    label: tuple[str, str] | None = None
    account: str = ""
    is_text: bool = True

    @classmethod
    def of(cls, typed: str) -> Term:
        key, is_label, value = typed.partition("=")
        if is_label and key:
            return cls(typed, fold(typed), label=(key, value), is_text=False)
        key, is_label, value = typed.partition(":")
        if is_label and value and key.lower() == ACCOUNT:
            return cls(typed, fold(typed), account=value, is_text=False)
        return cls(typed, fold(typed), label=(key, value) if is_label and key and value else None)

    @property
    def is_part(self) -> bool:
        """Whether it is looked for anywhere in a text; trigrams find nothing else. Others begin a name or address.

        PostgreSQL makes trigrams of letters and digits only: two beside each other, or one between two others, say
        enough; the one of "0-0" is in nearly every host.
        """
        return self.is_text and len(self.folded) >= 3 and _SAYS_ENOUGH.search(self.folded) is not None

    def few(self) -> set[int] | None:
        """Ids of the hosts that match when they are few, and perhaps a few that do not; None when they are many."""
        ways = list(self._ways())
        most = access.FEW
        text = f"{' UNION ALL '.join(way.text for way in ways)} LIMIT {most + 1}"
        found = sql.ids(text, [value for way in ways for value in way.params])
        return set(found) if len(found) <= most else None

    def _ways(self) -> Iterator[Condition]:
        """Statements that select ids: one short stretch of an index each."""
        if self.is_text:
            for way in self._beginnings():
                condition = way.of_hosts()
                yield Condition(f"SELECT id FROM {HOSTS} WHERE {condition.text}", condition.params)  # noqa: S608
        if self.is_part:
            hits = sql.with_parts([self.folded], access.FEW + 1)
            yield Condition(f"SELECT id FROM ({hits.text}) hits", hits.params)  # noqa: S608
        if self.label:
            same = f"{sql.key('key')} = {sql.key('%s')} AND {sql.key('value')} = {sql.key('%s')}"
            yield Condition(f"SELECT host_id FROM omaccess_label WHERE {same}", self.label)  # noqa: S608
        if self.account:
            same = f"{sql.key('name')} = {sql.key('%s')}"
            yield Condition(f"SELECT host_id FROM omaccess_hostaccount WHERE {same}", (self.account,))  # noqa: S608

    def matches(self, accounts: HostAccountQuerySet) -> Q:
        """As a condition on a host that is looked at anyway. `accounts` are those that may be known of."""
        if self.account:
            # A value, not an EXISTS, which PostgreSQL would answer for all hosts at once by reading every account.
            known = accounts.filter(equals("name", self.account), host=OuterRef("pk"))
            return Q(IsNull(Subquery(known.order_by().values_list(Value(1))[:1]), False))
        ways = self._beginnings() if self.is_text else []
        if self.is_part:
            ways.append(sql.has_part(self.folded))
        if self.label:
            ways.append(sql.has_label(self.label))
        either = reduce(or_, ways)
        # So that no index answers it: SQLite would read all of very many hits, and sort them. PostgreSQL takes it to
        # be true of half of all hosts, so it walks them in order, where otherwise it would sort all that it finds.
        return Q(sql.OnHost(Condition(f"CASE WHEN {either.text} THEN TRUE ELSE FALSE END", either.params)))

    def is_exactly(self) -> Condition:
        """The whole name or address."""
        name = sql.name_is(self.folded) | sql.equals("{name}", self.typed)
        return name | sql.equals("{address}", self.typed) | self._has_address()

    def begins_name(self) -> Condition:
        return sql.begins("{name}", self.typed) | sql.name_begins(self.folded)

    def begins_address(self) -> Condition:
        return sql.begins("{address}", self.typed)

    def _beginnings(self) -> list[Condition]:
        """A name or an address that begins so; each is one stretch of one index.

        The name twice: what the release before has written is not folded before the next night.
        """
        begun = [sql.begins(column, self.typed) for column in ("{name}", "{address}", "{address_key}")]
        return [*begun, sql.name_begins(self.folded), self._has_address()]

    def _has_address(self) -> Condition:
        """The same address in another spelling, such as a long IPv6 form."""
        return sql.has_address(address_key(self.typed))


def terms_of(query: str) -> list[Term]:
    """Those of a clean query. What folds to nothing, such as an accent alone, is none."""
    return [term for term in map(Term.of, query.split()[:MAX_TERMS]) if term.folded]


def account_names(text: str) -> tuple[str, ...]:
    """The account names that were asked for (`account:root`), as they were typed; compare them without case."""
    return tuple(dict.fromkeys(term.account for term in terms_of(clean_query(text)) if term.account))


def parts_of(terms: Sequence[Term]) -> list[str]:
    """What all hosts that match have somewhere in their text."""
    return [term.folded for term in terms if term.is_part and not term.label]
