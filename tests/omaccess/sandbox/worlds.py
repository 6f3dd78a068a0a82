"""A small world for the tests of the sandbox itself."""

from __future__ import annotations

from omaccess.sandbox.world import World, parse_world

ACCOUNT = "acme"
USER = "portal"
PASSWORD = "sandbox-password"
ACCOUNT_ID = "c" * 32
PROJECT_ID = "a" * 32
OTHER_PROJECT_ID = "b" * 32
SERVER_ID = "11111111-1111-4111-8111-111111111111"
OLD_SERVER_ID = "22222222-2222-4222-8222-222222222222"
NEW_SERVER_ID = "33333333-3333-4333-8333-333333333333"
STOPPED_SERVER_ID = "44444444-4444-4444-8444-444444444444"
FOREIGN_SERVER_ID = "55555555-5555-4555-8555-555555555555"
LAUNCH_KEY = ("LAUNCHKEY0000000001", "sandbox-secret-key-launch")
READ_KEY = ("READKEY000000000001", "sandbox-secret-key-read")
NARROW_KEY = ("NARROWKEY0000000001", "sandbox-secret-key-narrow")
INACTIVE_KEY = ("INACTIVEKEY00000001", "sandbox-secret-key-inactive")
TEMPORARY_KEY = ("TEMPORARYKEY0000001", "sandbox-secret-key-temporary")
SECURITY_TOKEN = "sandbox-security-token"
DISABLED_USER_KEY = ("DISABLEDUSERKEY0001", "sandbox-secret-key-disabled")
CONSOLE_USER_KEY = ("CONSOLEUSERKEY00001", "sandbox-secret-key-console")
STRANGERS_KEY = ("STRANGERSKEY0000001", "sandbox-secret-key-stranger")

SMALL_WORLD = f"""
name = "Small <world>"
[lockout]
failures = 3
[[account]]
name = "{ACCOUNT}"
id = "{ACCOUNT_ID}"
[[account]]
name = "strangers"
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
permissions = ["cbh:instance:getOmUrl", "cbh:instance:login"]
access_keys = [
  {{ access = "{LAUNCH_KEY[0]}", secret = "{LAUNCH_KEY[1]}" }},
  {{ access = "{INACTIVE_KEY[0]}", secret = "{INACTIVE_KEY[1]}", enabled = false }},
  {{ access = "{TEMPORARY_KEY[0]}", secret = "{TEMPORARY_KEY[1]}", security_token = "{SECURITY_TOKEN}" }},
]
[[user]]
account = "{ACCOUNT}"
name = "reader"
password = "{PASSWORD}"
permissions = ["cbh:instance:list"]
access_keys = [{{ access = "{READ_KEY[0]}", secret = "{READ_KEY[1]}" }}]
[[user]]
account = "{ACCOUNT}"
name = "narrow"
password = "{PASSWORD}"
projects = ["eu-west-101"]
permissions = ["cbh:instance:list"]
access_keys = [{{ access = "{NARROW_KEY[0]}", secret = "{NARROW_KEY[1]}" }}]
[[user]]
account = "{ACCOUNT}"
name = "disabled"
password = "{PASSWORD}"
enabled = false
access_keys = [{{ access = "{DISABLED_USER_KEY[0]}", secret = "{DISABLED_USER_KEY[1]}" }}]
[[user]]
account = "{ACCOUNT}"
name = "human"
password = "{PASSWORD}"
programmatic_access = false
access_keys = [{{ access = "{CONSOLE_USER_KEY[0]}", secret = "{CONSOLE_USER_KEY[1]}" }}]
[[user]]
account = "{ACCOUNT}"
name = "protected"
password = "{PASSWORD}"
login_protection = true
[[user]]
account = "strangers"
name = "stranger"
password = "{PASSWORD}"
permissions = ["cbh:*:*"]
access_keys = [{{ access = "{STRANGERS_KEY[0]}", secret = "{STRANGERS_KEY[1]}" }}]
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
ha_id = "ha-1"
private_ip = "10.0.0.51"
vip = "10.0.0.50"
availability_zone = "cn-north-4c"
[[instance]]
name = "new"
account = "{ACCOUNT}"
project = "cn-north-4"
server_id = "{NEW_SERVER_ID}"
instance_id = "instance-3"
ha_id = "ha-1"
ha_role = "slave"
private_ip = "10.0.0.52"
vip = "10.0.0.50"
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
