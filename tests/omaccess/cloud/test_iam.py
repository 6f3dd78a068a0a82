"""Tokens, over real HTTP: every answer and refusal that the reference knows of `/v3/auth/tokens`."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from omaccess.cloud.errors import (
    AccountLocked,
    CloudConnectionFailed,
    CloudError,
    CloudForbidden,
    CloudRequestRefused,
    CloudServerError,
    CloudThrottled,
    CloudTimeout,
    ConsoleOnlyUser,
    CredentialRejected,
    EndpointWrong,
    HeadersTooLarge,
    PermissionMissing,
    ProjectNotFound,
    ProjectUnavailable,
    SourceAddressRefused,
    UnreadableAnswer,
    UserDisabled,
)
from omaccess.cloud.http import CloudTransport
from omaccess.cloud.iam import FALLBACK_LIFETIME, IamClient, parse_moment
from omaccess.cloud.types import Deadline, IamToken, PasswordCredential, ProjectScope
from tests.omaccess.cloud.conftest import MakeTransport, StartWire
from tests.omaccess.cloud.wire import Reply, Wire, answer, drop, hang, raw

PASSWORD = 'p"ä/ss\\wörd'
CREDENTIAL = PasswordCredential("acct1", "u1", PASSWORD)
BY_NAME = ProjectScope(name="cn-north-4")


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def token_answer(
    *, value: str = "MIIabc", token: dict[str, Any] | None = None, headers: list[tuple[str, str]] | None = None
) -> Reply:
    body = {
        "expires_at": iso(datetime.now(UTC) + timedelta(hours=20)),
        "methods": ["password"],
        "project": {"id": "p-1", "name": "cn-north-4", "domain": {"id": "d", "name": "acct1"}},
        "user": {"id": "user-1", "name": "u1", "password_expires_at": None},
        **(token or {}),
    }
    return answer(
        {"token": body},
        201,
        [("x-subject-token", value), ("X-IAM-Trace-Id", "trace-1"), *(headers or [])],
    )


def exchange(wire: Wire, transport: CloudTransport, *, scope: ProjectScope = BY_NAME, seconds: float = 5.0) -> IamToken:
    client = IamClient(transport, wire.url)
    return client.token(credential=CREDENTIAL, scope=scope, deadline=Deadline.after(seconds))


def failure_of(
    wire: Wire, transport: CloudTransport, *, scope: ProjectScope = BY_NAME, seconds: float = 5.0
) -> CloudError:
    with pytest.raises(CloudError) as caught:
        exchange(wire, transport, scope=scope, seconds=seconds)
    shown = f"{caught.value}{caught.value!r}{caught.value.__dict__}"
    assert PASSWORD not in shown
    assert caught.value.service == "iam"
    return caught.value


# Success


def test_token_is_asked_for_as_documented_and_read_whole(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(token_answer())

    token = exchange(wire, transport)

    request = wire.received[0]
    assert (request.method, request.target) == ("POST", "/v3/auth/tokens?nocatalog=true")
    assert request.headers["content-type"] == "application/json;charset=utf8"
    user = {"name": "u1", "password": PASSWORD, "domain": {"name": "acct1"}}
    assert request.json == {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "cn-north-4"}},
        }
    }
    assert (token.value, token.project_id, token.project_name) == ("MIIabc", "p-1", "cn-north-4")
    assert (token.user_id, token.user_name, token.request_id) == ("user-1", "u1", "trace-1")


@pytest.mark.parametrize(
    ("raw_roles", "roles"),
    [
        ([{"id": "0", "name": "te_admin"}, {"id": "0", "name": "op_gated_cbh"}], ("te_admin", "op_gated_cbh")),
        ([{"name": "te_admin"}, {"name": "te_admin"}, {"name": "  "}, {"name": 7}, {}, "odd", None], ("te_admin",)),
        ([{"name": "a\r\nb" + "c" * 100}], ("a b" + "c" * 61,)),
        ({"name": "te_admin"}, ()),
        (None, ()),
    ],
)
def test_roles_are_read_as_names_and_make_no_token_another(
    start_wire: StartWire, transport: CloudTransport, raw_roles: object, roles: tuple[str, ...]
) -> None:
    token = exchange(start_wire(token_answer(token={"roles": raw_roles})), transport)

    assert token.roles == roles
    assert replace(token, roles=("other",)) == token


def test_scope_by_id_is_asked_for_by_id(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(token_answer())

    exchange(wire, transport, scope=ProjectScope(id="p-1"))

    assert wire.received[0].json["auth"]["scope"] == {"project": {"id": "p-1"}}


@pytest.mark.parametrize("length", [1_224, 9_120, 30_000, 65_000])
def test_token_may_be_long(start_wire: StartWire, transport: CloudTransport, length: int) -> None:
    wire = start_wire(token_answer(value="M" * length))

    assert len(exchange(wire, transport).value) == length


def test_token_with_a_large_catalogue_is_read(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(token_answer(token={"catalog": [{"name": "x" * 1000}] * 500}))

    assert exchange(wire, transport).project_id == "p-1"


# Expiry


@pytest.mark.parametrize(
    ("raw_moment", "expected"),
    [
        ("2020-01-04T09:08:49.965000Z", datetime(2020, 1, 4, 9, 8, 49, 965000, UTC)),
        ("2020-01-04T09:08:49Z", datetime(2020, 1, 4, 9, 8, 49, 0, UTC)),
        ("2020-01-04T09:08:49.9Z", datetime(2020, 1, 4, 9, 8, 49, 900000, UTC)),
        ("2020-01-04T09:08:49.965000", datetime(2020, 1, 4, 9, 8, 49, 965000, UTC)),
        ("2020-01-04T09:08:49.123456789Z", datetime(2020, 1, 4, 9, 8, 49, 123456, UTC)),
        ("2020-01-04 09:08:49z", datetime(2020, 1, 4, 9, 8, 49, 0, UTC)),
        ("2020-01-04T17:08:49+08:00", datetime(2020, 1, 4, 9, 8, 49, 0, UTC)),
        ("2020-01-04T04:38:49-0430", datetime(2020, 1, 4, 9, 8, 49, 0, UTC)),
        (" 2020-01-04T09:08:49Z ", datetime(2020, 1, 4, 9, 8, 49, 0, UTC)),
        ("2020-02-31T09:08:49Z", None),
        ("2020-01-04T25:08:49Z", None),
        ("2020-01-04T09:08:49+99:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("2020-01-04", None),
        ("tomorrow", None),
        ("", None),
        (None, None),
        (1578128929, None),
        (["2020-01-04T09:08:49Z"], None),
    ],
)
def test_moments_are_read_leniently(raw_moment: object, expected: datetime | None) -> None:
    assert parse_moment(raw_moment) == expected


def near(moment: datetime, expected: datetime) -> bool:
    return abs(moment - expected) < timedelta(seconds=20)


@pytest.mark.parametrize("raw_moment", [None, "", "soon", 5, {"at": 1}])
def test_unreadable_expiry_is_a_short_one(start_wire: StartWire, transport: CloudTransport, raw_moment: object) -> None:
    wire = start_wire(token_answer(token={"expires_at": raw_moment}))

    assert near(exchange(wire, transport).expires_at, datetime.now(UTC) + FALLBACK_LIFETIME)


@pytest.mark.parametrize("skew_hours", [-30, -3, 0, 3, 30])
def test_expiry_is_on_our_clock_whatever_theirs_shows(
    start_wire: StartWire, transport: CloudTransport, skew_hours: int
) -> None:
    theirs = datetime.now(UTC) + timedelta(hours=skew_hours)
    wire = start_wire(
        token_answer(
            token={"expires_at": iso(theirs + timedelta(hours=24))},
            headers=[("Date", format_datetime(theirs, usegmt=True))],
        )
    )

    assert near(exchange(wire, transport).expires_at, datetime.now(UTC) + timedelta(hours=24))


@pytest.mark.parametrize("date", ["yesterday", "", "Mon, 99 Foo 2020 00:00:00 GMT"])
def test_unreadable_date_counts_as_no_difference(start_wire: StartWire, transport: CloudTransport, date: str) -> None:
    wire = start_wire(token_answer(headers=[("Date", date)]))

    assert near(exchange(wire, transport).expires_at, datetime.now(UTC) + timedelta(hours=20))


def test_expiry_beyond_the_documented_lifetime_is_not_believed(
    start_wire: StartWire, transport: CloudTransport
) -> None:
    wire = start_wire(token_answer(token={"expires_at": "9999-12-31T23:59:59Z"}))

    assert near(exchange(wire, transport).expires_at, datetime.now(UTC) + timedelta(hours=24))


def test_token_that_has_expired_already_is_not_prolonged(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(token_answer(token={"expires_at": "2020-01-04T09:08:49Z"}))

    assert exchange(wire, transport).expires_at < datetime.now(UTC)


# Answers that are no token


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (answer(b"", 201, [("X-Subject-Token", "t")]), "not_json"),
        (answer(b"<html>", 201, [("X-Subject-Token", "t")]), "not_json"),
        (answer(b"[" * 100_000, 201, [("X-Subject-Token", "t")]), "not_json"),
        (answer(b"\xff\xfe", 201, [("X-Subject-Token", "t")]), "not_json"),
        (answer([], 201, [("X-Subject-Token", "t")]), "no_token"),
        (answer({}, 201, [("X-Subject-Token", "t")]), "no_token"),
        (answer({"token": "t"}, 201, [("X-Subject-Token", "t")]), "no_token"),
        (answer({"token": {"project": {"id": "p"}}}, 201), "no_token"),
        (token_answer(value=""), "no_token"),
        (token_answer(value="a b"), "no_token"),
        (token_answer(value="tök"), "no_token"),
        (token_answer(headers=[("X-Subject-Token", "second")]), "no_token"),
        (answer(b"", 204), "status"),
        (answer(b"", 302, [("Location", "https://evil.example/")]), "redirect"),
        (raw(b"HTTP/1.1 201 Created\r\nContent-Length: 50\r\n\r\n{"), "truncated"),
    ],
)
def test_answer_that_is_no_token_is_unreadable(
    start_wire: StartWire, transport: CloudTransport, reply: Reply, problem: str
) -> None:
    wire = start_wire(reply)

    error = failure_of(wire, transport)

    assert isinstance(error, UnreadableAnswer)
    assert error.problem == problem
    assert len(wire.received) == 1


@pytest.mark.parametrize("project", [None, {}, [], {"id": ""}, {"id": None}, {"id": 7}])
def test_token_without_a_project_is_a_missing_project(
    start_wire: StartWire, transport: CloudTransport, project: object
) -> None:
    wire = start_wire(token_answer(token={"project": project, "domain": {"id": "d"}}))

    assert isinstance(failure_of(wire, transport), ProjectNotFound)


def test_token_for_another_project_than_asked_is_refused(start_wire: StartWire, transport: CloudTransport) -> None:
    error = failure_of(start_wire(token_answer()), transport, scope=ProjectScope(id="p-2"))

    assert isinstance(error, UnreadableAnswer)
    assert error.problem == "other_project"


# Refusals, in both of IAM's envelopes and the gateway's

REFUSALS: list[tuple[int, str, str, type[CloudError]]] = [
    (400, "IAM.0007", "Request parameter scope is invalid.", CloudRequestRefused),
    (400, "IAM.0011", "Request body is invalid.", CloudRequestRefused),
    (400, "IAM.0061", "Account locked.", AccountLocked),
    (400, "IAM.0072", "'password' is a required property.", CloudRequestRefused),
    (400, "IAM.1061", "Invalid TOTP passcode.", CloudRequestRefused),
    (400, "IAM.1101", "The request body size 0 is invalid.", CloudRequestRefused),
    (400, "IAM.1109", "The project information cannot be found.", ProjectNotFound),
    (400, "1101", "User name is invalid.", CloudRequestRefused),
    (400, "APIGW.0106", "Orchestration error.", CloudRequestRefused),
    (401, "IAM.0001", "The request you have made requires authentication.", CredentialRejected),
    (401, "IAM.0061", "Account locked.", AccountLocked),
    (401, "IAM.0062", "Incorrect password.", CredentialRejected),
    (401, "APIGW.0301", "Incorrect IAM authentication information", CredentialRejected),
    (403, "IAM.0002", "You are not authorized to perform the requested action.", PermissionMissing),
    (403, "IAM.0003", "Policy doesn't allow x to be performed.", PermissionMissing),
    (403, "IAM.0061", "Account locked.", AccountLocked),
    (403, "IAM.0062", "Incorrect password.", CredentialRejected),
    (403, "IAM.0080", "user of the access key is disabled", UserDisabled),
    (403, "IAM.0081", "This user only supports console access, not programmatic access.", ConsoleOnlyUser),
    (403, "IAM.0082", "The user u1 is disabled.", UserDisabled),
    (403, "IAM.0083", "no access to a private region", CloudForbidden),
    (403, "APIGW.0304", "app not authorised", CloudForbidden),
    (403, "APIGW.0310", "The project is unavailable.", ProjectUnavailable),
    (403, "APIGW.0401", "Unknown client IP.", SourceAddressRefused),
    (403, "APIG.0402", "Unauthorised client IP.", SourceAddressRefused),
    (403, "APIGW.0802", "The IAM user is forbidden in the currently selected region", CloudForbidden),
    (404, "IAM.0004", "Could not find project: nowhere.", ProjectNotFound),
    (404, "APIGW.0101", "The API does not exist.", EndpointWrong),
    (404, "APIG.0103", "The backend does not exist.", EndpointWrong),
    (409, "IAM.0005", "Conflict occurred.", CloudRequestRefused),
    (413, "APIGW.0201", "Request entity too large.", HeadersTooLarge),
    (494, "APIG.0201", "Request headers too large.", HeadersTooLarge),
    (500, "IAM.0006", "An unexpected error prevented the server from fulfilling your request.", CloudServerError),
    (500, "APIG.0103", "The backend does not exist.", CloudServerError),
    (501, "", "Not implemented", CloudServerError),
]


@pytest.mark.parametrize("style", ["error_msg", "error_description", "sdk", "nested"])
@pytest.mark.parametrize(("status", "code", "message", "expected"), REFUSALS)
def test_refusal_with_a_code_is_told_apart(
    start_wire: StartWire,
    transport: CloudTransport,
    style: str,
    status: int,
    code: str,
    message: str,
    expected: type[CloudError],
) -> None:
    bodies: dict[str, object] = {
        "error_msg": {"error_msg": message, "error_code": code, "request_id": "gw-1"},
        "error_description": {"error_code": code, "error_description": message, "request_id": "gw-1"},
        "sdk": {"errorCode": code, "errorMsg": message, "request_id": "gw-1"},
        "nested": {"error": {"code": code, "message": message, "title": "x"}, "request_id": "gw-1"},
    }
    wire = start_wire(answer(bodies[style], status))

    error = failure_of(wire, transport)

    assert type(error) is expected
    assert (error.status, error.code, error.description) == (status, code, message)
    assert error.request_id == "gw-1"
    assert len(wire.received) == 1


@pytest.mark.parametrize(
    ("status", "message", "title", "expected"),
    [
        (400, "The request body is invalid", "Bad Request", CloudRequestRefused),
        (400, "The project information cannot be found.", "Bad Request", ProjectNotFound),
        (401, "The username or password is wrong.", "Unauthorized", CredentialRejected),
        (401, "Unauthorized.", "Unauthorized", CredentialRejected),
        (401, "Account locked.", "Unauthorized", AccountLocked),
        (401, "IAM.0061: try later", "Unauthorized", AccountLocked),
        (403, "This user only supports console access, not programmatic access.", "F", ConsoleOnlyUser),
        (403, "The user u1 is disabled.", "Forbidden", UserDisabled),
        (403, "Something else.", "Forbidden", CloudForbidden),
        (404, "Could not find project: x.", "Not Found", ProjectNotFound),
    ],
)
def test_refusal_in_the_envelope_without_codes_is_told_apart_by_its_literal_text(
    start_wire: StartWire,
    transport: CloudTransport,
    status: int,
    message: str,
    title: str,
    expected: type[CloudError],
) -> None:
    wire = start_wire(answer({"error": {"code": status, "message": message, "title": title}}, status))

    error = failure_of(wire, transport)

    assert type(error) is expected
    assert (error.code, error.description) == (str(status), message)


@pytest.mark.parametrize("body", [b"", b"<html>Forbidden</html>", b"[]", b"null", b"{}", b'"x"', b"{\xff"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, CloudRequestRefused),
        (401, CredentialRejected),
        (403, CloudForbidden),
        (404, ProjectNotFound),
        (418, CloudRequestRefused),
        (494, HeadersTooLarge),
        (500, CloudServerError),
    ],
)
def test_refusal_without_an_envelope_goes_by_its_status(
    start_wire: StartWire,
    transport: CloudTransport,
    status: int,
    body: bytes,
    expected: type[CloudError],
) -> None:
    error = failure_of(start_wire(answer(body, status)), transport)

    assert type(error) is expected
    assert error.status == status


@pytest.mark.parametrize(
    "spelling",
    [PASSWORD, json.dumps(PASSWORD)[1:-1], "p%22%C3%A4%2Fss%5Cw%C3%B6rd"],
)
def test_password_quoted_by_the_cloud_is_hidden(
    start_wire: StartWire, transport: CloudTransport, spelling: str
) -> None:
    message = f"Invalid input for field 'password'. The value is '{spelling}'."
    wire = start_wire(answer({"error_code": "IAM.0073", "error_msg": message}, 400))

    error = failure_of(wire, transport)

    assert error.description == "Invalid input for field 'password'. The value is '[hidden]'."


def test_password_quoted_in_a_body_of_no_known_shape_is_hidden(
    start_wire: StartWire, transport: CloudTransport
) -> None:
    wire = start_wire(answer({"strange": {"value": [PASSWORD]}}, 400))

    error = failure_of(wire, transport)

    assert "[hidden]" in error.description
    assert "ss" not in error.description


# One more try


@pytest.mark.parametrize("status", [401, 400, 403, 404, 500, 501])
def test_refusal_is_never_repeated(start_wire: StartWire, transport: CloudTransport, status: int) -> None:
    wire = start_wire(answer({}, status), token_answer())

    failure_of(wire, transport)

    assert len(wire.received) == 1


@pytest.mark.parametrize("status", [502, 503, 504])
def test_gateway_trouble_gets_one_more_try(start_wire: StartWire, transport: CloudTransport, status: int) -> None:
    wire = start_wire(answer(b"", status), token_answer())

    assert exchange(wire, transport).value == "MIIabc"


def test_gateway_trouble_gets_only_one_more_try(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer(b"", 503), answer(b"", 502), token_answer())

    error = failure_of(wire, transport)

    assert (type(error), error.status, len(wire.received)) == (CloudServerError, 502, 2)
    assert error.__context__ is None


def test_rejection_on_the_second_try_ends_it(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer(b"", 503), answer({}, 401), token_answer())

    assert isinstance(failure_of(wire, transport), CredentialRejected)
    assert len(wire.received) == 2


@pytest.mark.parametrize("reply", [drop(), drop(reset=True)])
def test_request_that_may_have_arrived_is_not_repeated(
    start_wire: StartWire, transport: CloudTransport, reply: Reply
) -> None:
    wire = start_wire(reply, token_answer())

    error = failure_of(wire, transport)

    assert isinstance(error, CloudConnectionFailed)
    assert (error.sent, len(wire.received)) == (True, 1)


def test_connection_that_was_never_made_is_tried_once_more(
    start_wire: StartWire, make_transport: MakeTransport, transport: CloudTransport
) -> None:
    with Wire([token_answer()]) as gone:
        pass
    started = time.monotonic()

    error = failure_of(gone, transport)

    assert isinstance(error, CloudConnectionFailed)
    assert error.sent is False
    assert time.monotonic() - started >= 0.1  # the pause before the second try


def test_timeout_is_not_repeated(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(hang(), token_answer())

    assert isinstance(failure_of(wire, transport, seconds=0.3), CloudTimeout)
    assert len(wire.received) == 1


@pytest.mark.parametrize("headers", [[("Retry-After", "0")], [("Retry-After", "Mon, 06 Sep 2010 00:00:00 GMT")]])
def test_throttling_that_is_over_at_once_gets_one_more_try(
    start_wire: StartWire, transport: CloudTransport, headers: list[tuple[str, str]]
) -> None:
    wire = start_wire(answer({"error_code": "IAM.0012"}, 429, headers), token_answer())

    assert exchange(wire, transport).value == "MIIabc"


def test_throttling_without_a_waiting_time_waits_about_a_second(
    start_wire: StartWire, transport: CloudTransport
) -> None:
    wire = start_wire(answer({"error_code": "APIGW.0308"}, 429), token_answer())
    started = time.monotonic()

    exchange(wire, transport)

    assert time.monotonic() - started >= 1.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([("Retry-After", "30")], 30.0),
        (
            [
                ("Date", "Mon, 06 Sep 2010 00:00:00 GMT"),
                ("Retry-After", "Mon, 06 Sep 2010 00:01:30 GMT"),
            ],
            90.0,
        ),
    ],
)
def test_throttling_beyond_the_deadline_is_reported_with_its_waiting_time(
    start_wire: StartWire, transport: CloudTransport, headers: list[tuple[str, str]], seconds: float
) -> None:
    wire = start_wire(answer({"error_code": "IAM.0012"}, 429, headers), token_answer())
    started = time.monotonic()

    error = failure_of(wire, transport)

    assert isinstance(error, CloudThrottled)
    assert error.retry_after_seconds == seconds
    assert len(wire.received) == 1
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("retry_after", ["soon", "-1", "1.5", "1e3", "", "9999999999"])
def test_nonsense_waiting_time_counts_as_none(
    start_wire: StartWire, transport: CloudTransport, retry_after: str
) -> None:
    wire = start_wire(answer({}, 429, [("Retry-After", retry_after)]), token_answer())

    error = failure_of(wire, transport, seconds=1.0)

    assert isinstance(error, CloudThrottled)
    assert error.retry_after_seconds is None
