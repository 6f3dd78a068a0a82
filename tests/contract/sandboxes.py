"""The contract's sandbox, described as a target."""

from __future__ import annotations

from typing import Final

from omaccess.sandbox.server import SandboxServer
from tests.contract.target import AccessKey, Person, Target

ACCOUNT: Final = "acme"
PORTAL: Final = Person(account=ACCOUNT, name="portal", password="contract-password-portal")
DISABLED: Final = Person(account=ACCOUNT, name="disabled", password="contract-password-disabled")
HUMAN: Final = Person(account=ACCOUNT, name="human", password="contract-password-human")
KEY: Final = AccessKey(access="CONTRACTPORTALKEY001", secret="contract-secret-of-the-portal-key-000001")
TEMPORARY_KEY: Final = AccessKey(
    access="CONTRACTTEMPORARY001",
    secret="contract-secret-of-the-temporary-key-001",
    security_token="contract-security-token-000000000001",
)
INACTIVE_KEY: Final = AccessKey(access="CONTRACTINACTIVE0001", secret="contract-secret-of-the-inactive-key-0001")
POWERLESS_KEY: Final = AccessKey(access="CONTRACTPOWERLESS001", secret="contract-secret-of-the-powerless-key-001")
DISABLED_KEY: Final = AccessKey(access="CONTRACTDISABLED0001", secret="contract-secret-of-the-disabled-user-001")
PROJECT_ID: Final = "0a4f5b1c7d2e4c6f8b9a0c1d2e3f4a5b"
SERVER_ID: Final = "5c9a2f7e-1f7b-4a59-8c0e-0f6a4f0b8a11"
OLD_SERVER_ID: Final = "7e1c4b9a-3b9d-4c7b-8e2a-2b8c6b2d0c33"
NEW_SERVER_ID: Final = "9a3e6d1c-5d1f-4e9d-8a4c-4d0e8d4f2e55"


def target_of(server: SandboxServer) -> Target:
    """What the world file says, with the addresses where it is served now."""
    return Target(
        is_sandbox=True,
        iam_endpoint=server.url,
        cbh_endpoint=server.url,
        region="cn-north-4",
        project_id=PROJECT_ID,
        person=PORTAL,
        key=KEY,
        server_id=SERVER_ID,
        address="10.0.0.11",
        host_account="root",
        unmanaged_address="192.0.2.1",
        missing_account="nobody-has-this-name",
        lockable_user="spare",
        disabled_person=DISABLED,
        console_person=HUMAN,
    )


def variables_of(server: SandboxServer) -> dict[str, str]:
    """The same as the variables of the environment, as if it were a real account."""
    target = target_of(server)
    return {
        "VERIFY_CLOUD_REGION": target.region,
        "VERIFY_CLOUD_ACCOUNT": target.person.account,
        "VERIFY_CLOUD_USER": target.person.name,
        "VERIFY_CLOUD_PASSWORD": target.person.password,
        "VERIFY_CLOUD_ACCESS_KEY": target.key.access,
        "VERIFY_CLOUD_SECRET_KEY": target.key.secret,
        "VERIFY_CLOUD_SERVER_ID": target.server_id,
        "VERIFY_CLOUD_ADDRESS": target.address,
        "VERIFY_CLOUD_HOST_ACCOUNT": target.host_account,
        "VERIFY_CLOUD_IAM_ENDPOINT": target.iam_endpoint,
        "VERIFY_CLOUD_CBH_ENDPOINT": target.cbh_endpoint,
        "VERIFY_CLOUD_LOCKABLE_USER": target.lockable_user,
        "VERIFY_CLOUD_DISABLED_USER": DISABLED.name,
        "VERIFY_CLOUD_DISABLED_PASSWORD": DISABLED.password,
        "VERIFY_CLOUD_CONSOLE_USER": HUMAN.name,
        "VERIFY_CLOUD_CONSOLE_PASSWORD": HUMAN.password,
    }
