"""The instance a CBH call is about, and whether it can be worked with."""

from __future__ import annotations

import uuid
from typing import Final

from omaccess.sandbox.refusals import cbh_refused
from omaccess.sandbox.simulation import Simulation
from omaccess.sandbox.world_types import Instance, Project

_WORKING_STATUSES: Final = ("ACTIVE", "HA")


def find_instance(cloud: Simulation, project: Project, server_id: str) -> Instance:
    """The project's instance with this server id. Raises Refused."""
    try:
        uuid.UUID(server_id)
    except ValueError:
        raise cbh_refused(cloud.world.style, 400, "CBH.10020011", "Incorrect server ID.") from None
    for instance in cloud.world.instances_in(project):
        if instance.server_id == server_id:
            return instance
    # The page documents 404, the code table files this code under 400.
    status = cloud.world.style.missing_instance_status
    raise cbh_refused(cloud.world.style, status, "CBH.10027007", "No resource found.")


def require_working(cloud: Simulation, instance: Instance) -> None:
    """Raises Refused while nobody can be let into the instance."""
    if instance.status not in _WORKING_STATUSES:
        message = "Operation failed. The operation is not allowed in the current instance status."
        raise cbh_refused(cloud.world.style, 400, "CBH.10027011", message)
