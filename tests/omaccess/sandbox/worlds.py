"""A small world for the tests of the sandbox itself."""

from __future__ import annotations

from omaccess.sandbox.world import World, parse_world

ACCOUNT = "acme"
USER = "portal"
PASSWORD = "sandbox-password"
PROJECT_ID = "a" * 32
OTHER_PROJECT_ID = "b" * 32
SERVER_ID = "11111111-1111-4111-8111-111111111111"
OLD_SERVER_ID = "22222222-2222-4222-8222-222222222222"
NEW_SERVER_ID = "33333333-3333-4333-8333-333333333333"
STOPPED_SERVER_ID = "44444444-4444-4444-8444-444444444444"
FOREIGN_SERVER_ID = "55555555-5555-4555-8555-555555555555"

SMALL_WORLD = f"""
name = "Small <world>"
[lockout]
failures = 3
[[account]]
name = "{ACCOUNT}"
[[project]]
account = "{ACCOUNT}"
name = "cn-north-4"
id = "{PROJECT_ID}"
[[project]]
account = "{ACCOUNT}"
name = "eu-west-101"
id = "{OTHER_PROJECT_ID}"
[[project]]
account = "{ACCOUNT}"
name = "closed"
enabled = false
[[user]]
account = "{ACCOUNT}"
name = "{USER}"
password = "{PASSWORD}"
permissions = ["cbh:instance:getOmUrl"]
[[user]]
account = "{ACCOUNT}"
name = "reader"
password = "{PASSWORD}"
permissions = ["cbh:instance:list"]
[[user]]
account = "{ACCOUNT}"
name = "narrow"
password = "{PASSWORD}"
projects = ["eu-west-101"]
[[user]]
account = "{ACCOUNT}"
name = "disabled"
password = "{PASSWORD}"
enabled = false
[[user]]
account = "{ACCOUNT}"
name = "human"
password = "{PASSWORD}"
programmatic_access = false
[[user]]
account = "{ACCOUNT}"
name = "protected"
password = "{PASSWORD}"
login_protection = true
[[instance]]
name = "bastion"
account = "{ACCOUNT}"
project = "cn-north-4"
server_id = "{SERVER_ID}"
instance_id = "instance-1"
launch_user = "{USER}"
public_ip = "203.0.113.9"
[[instance]]
name = "old"
account = "{ACCOUNT}"
project = "cn-north-4"
server_id = "{OLD_SERVER_ID}"
instance_id = "instance-2"
launch_user = "{USER}"
supports_om_url = false
[[instance]]
name = "new"
account = "{ACCOUNT}"
project = "cn-north-4"
server_id = "{NEW_SERVER_ID}"
instance_id = "instance-3"
launch_user = "{USER}"
trustlist_ready_after_seconds = 20
login_origin = "https://203.0.113.5:8443"
[[instance]]
name = "stopped"
account = "{ACCOUNT}"
project = "cn-north-4"
server_id = "{STOPPED_SERVER_ID}"
instance_id = "instance-4"
launch_user = "{USER}"
status = "SHUTOFF"
[[instance]]
name = "foreign"
account = "{ACCOUNT}"
project = "eu-west-101"
server_id = "{FOREIGN_SERVER_ID}"
instance_id = "instance-5"
launch_user = "{USER}"
[[host]]
instance = "bastion"
name = "web <01>"
address = "10.0.0.1"
accounts = [
  {{ name = "root" }},
  {{ name = 'CORP\\svc web' }},
  {{ name = "böb+&<i>" }},
  {{ name = "gone", registered = false }},
  {{ name = "forbidden", may_open = ["reader"] }},
  {{ name = "conflict", forced_state = "IAM_USER_CONFLICT" }},
  {{ name = "odd", forced_state = "UNKNOWN_ERROR" }},
]
[[host]]
instance = "bastion"
name = "v6"
address = "2001:db8::15"
accounts = [{{ name = "root" }}]
[[host]]
instance = "bastion"
name = "unmanaged"
address = "10.0.0.99"
managed = false
accounts = [{{ name = "root" }}]
[[host]]
instance = "new"
name = "fresh"
address = "10.0.1.1"
accounts = [{{ name = "root" }}]
"""


def small_world(**replaced: str) -> World:
    """The small world; each keyword is added as a line to the table `answers`."""
    lines = "\n".join(f"{key} = {value}" for key, value in replaced.items())
    return parse_world(f"{SMALL_WORLD}\n[answers]\n{lines}\n")
