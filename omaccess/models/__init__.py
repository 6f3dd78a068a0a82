from omaccess.models.access import Grant, GrantAccount, GrantLabel
from omaccess.models.audit import AuditEvent, AuditHead
from omaccess.models.credentials import IamCredential, IamUserLease
from omaccess.models.inventory import BastionInstance, Host, HostAccount, Label, LoginAddress
from omaccess.models.jobs import JobRun
from omaccess.models.launches import Launch, LaunchAllowance, LaunchState
from omaccess.models.personal import Favourite
from omaccess.models.worklists import Worklist

__all__ = [
    "AuditEvent",
    "AuditHead",
    "BastionInstance",
    "Favourite",
    "Grant",
    "GrantAccount",
    "GrantLabel",
    "Host",
    "HostAccount",
    "IamCredential",
    "IamUserLease",
    "JobRun",
    "Label",
    "Launch",
    "LaunchAllowance",
    "LaunchState",
    "LoginAddress",
    "Worklist",
]
