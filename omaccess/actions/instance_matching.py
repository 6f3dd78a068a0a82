"""What the cloud lists, beside what the inventory has: which is which, what differs, and what would be saved.

Nothing the cloud says is trusted. It was cleaned and cut when it was read; here it becomes a proposal, which the
model validates like anything that was typed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from django.conf import settings
from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from omaccess.cloud.login_url import parse_origin
from omaccess.cloud.types import CbhInstance
from omaccess.models import BastionInstance, LoginAddress

Text = str | Promise

IDS = ("server_id", "instance_id", "ha_id", "project_id")
"""What an instance takes over from the cloud when it is updated, besides login addresses."""

_RUNNING = {"ACTIVE", "HA"}
_STATUSES: dict[str, Text] = {
    "SHUTOFF": _("switched off"),
    "DELETING": _("being deleted"),
    "DELETED": _("deleted"),
    "BUILD": _("being built"),
    "ERROR": _("in an error"),
    "HAWAIT": _("waiting for its other half"),
    "FROZEN": _("frozen: look at the account's balance"),
    "UPGRADING": _("upgrading"),
    "UNPAID": _("not paid"),
    "RESIZE": _("being resized"),
    "DILATATION": _("being enlarged"),
}


class Likeness(StrEnum):
    """By what an instance of the inventory was recognised, the surest first."""

    INSTANCE_ID = "instance_id"
    SERVER_ID = "server_id"
    SWAPPED = "swapped"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Place:
    """Where was asked: the region's CBH endpoint, and an account's project by the name asked for and by its id."""

    region: str
    endpoint: str
    project_name: str
    project_id: str = ""
    account_name: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be saved of one bastion. `origins` are login addresses, each as the model writes them."""

    name: str
    region: str
    endpoint: str
    project_id: str
    project_name: str
    server_id: str
    instance_id: str
    ha_id: str
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field (or one login address) that the inventory has otherwise, or not at all."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Bastion:
    """What is listed as one instance, or as the two halves of a pair: then it is the master, with its standby."""

    listed: CbhInstance
    standby: CbhInstance | None
    proposal: Proposal
    place: Place
    known: BastionInstance | None = None
    likeness: Likeness | None = None

    @property
    def is_usable(self) -> bool:
        one = self.listed
        return self.can_be_saved and one.status.upper() in _RUNNING and not self.is_busy and not self.is_abnormal

    @property
    def can_be_saved(self) -> bool:
        """With its server id: a slave without its master has one that get-om-url does not want."""
        return bool(self.listed.server_id) and self.listed.ha_role != "slave"

    @property
    def is_busy(self) -> bool:
        return self.listed.task_status.upper() not in ("", "NO_TASK")

    @property
    def is_abnormal(self) -> bool:
        return self.listed.instance_status.lower() not in ("", "ok")

    @property
    def condition(self) -> Text:
        """In words, whether it can be used now."""
        status = self.listed.status.upper()
        if self.listed.ha_role == "slave":
            return _("the standby of a pair whose master is not in this list")
        if not self.listed.server_id:
            return _("listed without a usable server id")
        if status not in _RUNNING:
            return _STATUSES.get(status) or _("in a state that the portal does not know")
        if self.is_busy:
            return _("busy: %(task)s") % {"task": self.listed.task_status}
        if self.is_abnormal:
            return _("running, but reported as %(status)s") % {"status": self.listed.instance_status}
        return _("running")

    @property
    def warnings(self) -> list[Text]:
        """Why the one of the inventory may be another than this, or wrong, however it was recognised."""
        if self.known is None:
            return []
        found: list[Text] = []
        here, there = self.known.credential.account_name, self.place.account_name
        if here != there:
            text = _("The inventory has it in the account %(here)s; this list is of the account %(there)s.")
            found.append(text % {"here": here, "there": there})
        if not self._is_in_its_project(self.known):
            here = self.known.project_name or self.known.project_id
            text = _("The inventory has it in the project %(here)s; this list is of the project %(there)s.")
            found.append(text % {"here": here, "there": self.place.project_name})
        return found

    def _is_in_its_project(self, known: BastionInstance) -> bool:
        """By the ids if both are known: names are given anew."""
        if known.project_id and self.place.project_id:
            return known.project_id == self.place.project_id
        return known.project_name in ("", self.place.project_name)

    @property
    def differences(self) -> list[Difference]:
        """What an update would change: ids that are otherwise, and login addresses that are missing."""
        if self.known is None:
            return []
        found = [
            Difference(name, getattr(self.known, name), getattr(self.proposal, name))
            for name in IDS
            if getattr(self.proposal, name) and getattr(self.proposal, name) != getattr(self.known, name)
        ]
        present = {address.origin for address in self.known.login_addresses.all()}
        return found + [Difference("login_address", "", one) for one in self.proposal.origins if one not in present]


def bastions(listed: Sequence[CbhInstance], place: Place) -> list[Bastion]:
    """One for each instance, one for each pair; each with the inventory's own row if it has one."""
    return _recognised([_bastion(one, standby, place) for one, standby in _paired(listed)])


def _paired(listed: Sequence[CbhInstance]) -> list[tuple[CbhInstance, CbhInstance | None]]:
    masters = {one.ha_id for one in listed if one.ha_id and one.ha_role != "slave"}
    standbys = {one.ha_id: one for one in listed if one.ha_role == "slave" and one.ha_id in masters}
    return [(one, standbys.get(one.ha_id)) for one in listed if one not in standbys.values()]


def _bastion(listed: CbhInstance, standby: CbhInstance | None, place: Place) -> Bastion:
    proposal = Proposal(
        name=listed.name,
        region=place.region,
        endpoint=place.endpoint,
        project_id=place.project_id,
        project_name=place.project_name,
        server_id=listed.server_id,
        instance_id=listed.instance_id,
        ha_id=listed.ha_id,
        origins=tuple(_origins(listed, standby)),
    )
    return Bastion(listed, standby, proposal, place)


def _origins(listed: CbhInstance, standby: CbhInstance | None) -> Iterable[str]:
    """Where its links may lead: any of its addresses, with the port of its web page. Which of them, nobody says."""
    found: dict[str, None] = {}
    for half in (listed, standby):
        if half is not None:
            for address in (half.public_ip, half.vip, half.private_ip):
                if address:
                    found[_origin(address, half.web_port)] = None
    return found


def _origin(address: str, port: int | None) -> str:
    ip = ipaddress.ip_address(address)
    # The sandbox shows its sessions itself, on loopback and without TLS.
    scheme = "http" if settings.IS_SANDBOX and ip.is_loopback else "https"
    host = f"[{ip}]" if ip.version == 6 else str(ip)
    return parse_origin(f"{scheme}://{host}{f':{port}' if port else ''}")


# --- recognising -----------------------------------------------------------------------------------


def _recognised(found: list[Bastion]) -> list[Bastion]:
    """The surest likeness first, and each row of the inventory at most once."""
    free = {row.pk: row for row in _candidates(found)}
    known: dict[int, tuple[BastionInstance, Likeness]] = {}
    for likeness, is_alike in _TESTS.items():
        for number, bastion in enumerate(found):
            if number in known:
                continue
            row = next((row for row in free.values() if is_alike(row, bastion)), None)
            if row is not None:
                known[number] = (free.pop(row.pk), likeness)
    matches = [known.get(number, (None, None)) for number in range(len(found))]
    return [
        replace(bastion, known=row, likeness=likeness) for bastion, (row, likeness) in zip(found, matches, strict=True)
    ]


def _candidates(found: list[Bastion]) -> list[BastionInstance]:
    ids = {text for bastion in found for text in _ids(bastion)}
    names = {bastion.listed.name for bastion in found if bastion.listed.name}
    wanted = Q(server_id__in=ids) | Q(instance_id__in=ids) | Q(name__in=names)
    rows = BastionInstance.objects.filter(wanted).prefetch_related("login_addresses")
    return list(rows.select_related("credential").order_by("pk"))


def _halves(bastion: Bastion) -> list[CbhInstance]:
    return [bastion.listed, *([bastion.standby] if bastion.standby else [])]


def _ids(bastion: Bastion) -> set[str]:
    return {text for half in _halves(bastion) for text in (half.server_id, half.instance_id) if text}


def _has_instance_id(row: BastionInstance, bastion: Bastion) -> bool:
    return bool(row.instance_id) and row.instance_id in {half.instance_id for half in _halves(bastion)}


def _has_server_id(row: BastionInstance, bastion: Bastion) -> bool:
    return row.server_id in {half.server_id for half in _halves(bastion)}


def _has_swapped_ids(row: BastionInstance, bastion: Bastion) -> bool:
    return bool({row.server_id, row.instance_id} & _ids(bastion))


def _has_name(row: BastionInstance, bastion: Bastion) -> bool:
    """A name is anybody's choice: it counts only in the same account, at the same endpoint."""
    place = bastion.place
    here = (row.name, row.region, row.endpoint, row.credential.account_name)
    return here == (bastion.listed.name, place.region, place.endpoint, place.account_name)


_TESTS: dict[Likeness, Callable[[BastionInstance, Bastion], bool]] = {
    Likeness.INSTANCE_ID: _has_instance_id,
    Likeness.SERVER_ID: _has_server_id,
    Likeness.SWAPPED: _has_swapped_ids,
    Likeness.NAME: _has_name,
}


def missing_origins(instance: BastionInstance, proposal: Proposal) -> list[LoginAddress]:
    """Login addresses of the proposal that this instance has not, not saved yet."""
    present = set(instance.login_addresses.values_list("origin", flat=True))
    return [LoginAddress(instance=instance, origin=origin) for origin in proposal.origins if origin not in present]
