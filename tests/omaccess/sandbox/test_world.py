from __future__ import annotations

from pathlib import Path

import pytest

from omaccess.sandbox.world import DEMO_WORLD, STATE_NUMBERS, World, WorldError, address_key, load_world, parse_world
from tests.omaccess.sandbox.worlds import LAUNCH_KEY, READ_KEY, SECURITY_TOKEN, SMALL_WORLD, small_world


def demo_verdicts(world: World) -> set[str]:
    """What each account of a world answers to the credential the portal would use for it."""
    found = set()
    for instance in world.instances:
        for host in world.hosts_of(instance):
            for account in host.accounts:
                user = account.launch_user or instance.launch_user
                found.add(world.verdict(instance, host.address, account.name, user))
        if instance.trustlist_ready_after_seconds:
            found.add("INS_WHITE_LIST_INITIALIZING")
    return found


def test_demo_world_shows_every_documented_state() -> None:
    world = load_world()

    assert demo_verdicts(world) == set(STATE_NUMBERS)


def test_demo_world_says_truly_which_accounts_open() -> None:
    world = load_world()
    instances = {instance.name: instance for instance in world.instances}

    for host in world.hosts:
        instance = instances[host.instance]
        for account in host.accounts:
            if account.launch_user is None and not instance.trustlist_ready_after_seconds:
                verdict = world.verdict(instance, host.address, account.name, instance.launch_user)
                assert (account.shows == "opens") == (verdict == "SUCCESS"), (host.name, account.name)


def test_demo_world_has_the_variety_people_evaluate_with() -> None:
    world = load_world()
    users = {user.name: user for user in world.users}

    assert len(world.hosts) >= 30
    assert any(":" in host.address for host in world.hosts)
    assert any("\\" in account.name for host in world.hosts for account in host.accounts)
    assert users["sallyport-backup"].stored_password != users["sallyport-backup"].password
    assert users["sallyport-hangzhou"].stored_password == users["sallyport-hangzhou"].password
    assert not users["sallyport-finance"].may("cbh:instance:getOmUrl")
    assert users["li.wei"].may("cbh:instance:getOmUrl")
    assert len({instance.launch_user for instance in world.instances}) == len(world.instances)
    assert all(user.password.startswith("sandbox-password") for user in world.users)


def test_passwords_and_keys_stay_out_of_the_text_form() -> None:
    shown = repr(load_world()) + repr(small_world())

    assert "sandbox-password" not in shown
    assert "sandbox-secret" not in shown
    assert SECURITY_TOKEN not in shown
    assert LAUNCH_KEY[0] in shown


@pytest.mark.parametrize("path", [DEMO_WORLD, "tests/world.toml"])
def test_the_shipped_worlds_have_keys_to_launch_and_to_read_with(path: Path | str) -> None:
    keyed = [user for user in load_world(path).users if any(key.enabled for key in user.access_keys)]

    assert any(user.may("cbh:instance:getOmUrl") for user in keyed)
    assert any(user.may("cbh:instance:list") for user in keyed)
    assert all(key.secret.startswith("sandbox-secret-key") for user in keyed for key in user.access_keys)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8::15", "2001:0DB8:0:0:0:0:0:15"),
        ("10.0.0.1", " 10.0.0.1 "),
        ("Web-01.Example", "web-01.example"),
    ],
)
def test_spellings_of_one_address_have_one_key(one: str, other: str) -> None:
    assert address_key(one) == address_key(other)


def test_a_world_of_one_name_alone_is_enough() -> None:
    world = parse_world('name = "empty"')

    assert world.hosts == ()
    assert world.tokens.lifetime_seconds == 86_400


def test_derived_ids_stay_the_same_from_start_to_start() -> None:
    first, second = small_world(), small_world()

    assert [user.id for user in first.users] == [user.id for user in second.users]
    assert len({user.id for user in first.users}) == len(first.users)


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        (
            'name = "portal"\n',
            'name = "portal"\nprogramatic_access = false\n',
            "unknown key 'programatic_access'",
        ),
        ('name = "portal"\n', 'name = "reader"\n', "user acme / reader appears twice"),
        ('name = "portal"\n', "name = 3\n", "user 1: 'name' must be a text"),
        ('name = "portal"\n', 'name = " "\n', "'name' must not be blank"),
        ('project = "eu-west-101"\n', 'project = "eu"\n', "instance 5 (foreign): 'project' names 'eu'"),
        ('projects = ["eu-west-101"]', 'projects = ["moon"]', "'projects' names 'moon'"),
        ('instance = "new"', 'instance = "newer"', "host 4 (fresh): 'instance' names 'newer'"),
        ('["reader"]', '["nobody"]', "accounts 5 (forbidden): 'may_open' names 'nobody'"),
        ('"UNKNOWN_ERROR"', '"NO_IDEA"', "'forced_state' must be one of SUCCESS"),
        ('"2001:db8::15"', '"10.0.0.1"', "host bastion / 10.0.0.1 appears twice"),
        ("33333333-3333-4333", "33333333-3333", "'server_id' must be a UUID"),
        ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222", "appears twice"),
        ("203.0.113.5:8443", "203.0.113.5:8443/login", "'login_origin' must be scheme://host[:port]"),
        ("https://203.0.113.5:8443", "https://203.0.113.5:99999", "'login_origin' must be"),
        ("https://203.0.113.5:8443", "ftp://203.0.113.5", "'login_origin' must be"),
        ('public_ip = "203.0.113.9"', 'public_ip = "203.0.113"', "'public_ip' must be an IP address"),
        ("failures = 3", "failures = 0", "lockout: 'failures' must be between 1 and 100"),
        ("failures = 3", "failures = true", "'failures' must be a whole number"),
        (
            "trustlist_ready_after_seconds = 20",
            "trustlist_ready_after_seconds = nan",
            "must be between 0 and",
        ),
        ("enabled = false", 'enabled = "no"', "'enabled' must be true or false"),
        ("a" * 32, "A" * 32, "'id' must be 32 lower-case hexadecimal digits"),
        ("[lockout]", "[lockout", "not valid TOML"),
        (READ_KEY[0], LAUNCH_KEY[0], f"access key {LAUNCH_KEY[0]} appears twice"),
        (READ_KEY[0], "READ KEY", "access_keys 1 (READ KEY): 'access' must be 1 to 64 letters"),
        (f'"{READ_KEY[1]}"', '""', "'secret' must not be blank"),
        ("secret =", "sceret =", "'secret' is missing"),
        ('name = "root" }', 'name = "root" }, { name = "root" }', "account root appears twice"),
    ],
)
def test_a_contradiction_is_named_with_its_place(was: str, becomes: str, complaint: str) -> None:
    assert was in SMALL_WORLD

    with pytest.raises(WorldError) as caught:
        parse_world(SMALL_WORLD.replace(was, becomes, 1), source="small.toml")

    assert "small.toml" in str(caught.value)
    assert complaint in str(caught.value)


def test_a_world_nested_beyond_reason_is_refused_like_any_other_mistake() -> None:
    with pytest.raises(WorldError, match="nested too deeply"):
        parse_world("a = " + "[" * 50_000)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r"Cannot read the world file .*nowhere.toml: No such file"):
        load_world(tmp_path / "nowhere.toml")


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b'name = "\xe4"')

    with pytest.raises(WorldError, match="not UTF-8"):
        load_world(path)
