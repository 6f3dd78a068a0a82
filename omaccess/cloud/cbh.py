"""O&M links and the list of instances from Cloud Bastion Host (CBH).

Talks to `GET /v2/{project_id}/cbs/instance/get-om-url`, whose verdict is the field `state` of a 200 answer, and to
`GET /v2/{project_id}/cbs/instance/list`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from omaccess.cloud.envelopes import hide, read_json, request_id_of
from omaccess.cloud.errors import (
    CloudConnectionFailed,
    CloudUnavailable,
    LoginOriginNotAllowed,
    OmUrlRefused,
    TokenRejected,
    UnreadableAnswer,
    UnusableLoginUrl,
    clean_text,
)
from omaccess.cloud.http import Answer, CloudTransport, path_segment
from omaccess.cloud.instance_list import read_page
from omaccess.cloud.login_url import check_login_url
from omaccess.cloud.refusals import refusal
from omaccess.cloud.retries import is_gateway_trouble, with_one_more_try
from omaccess.cloud.types import CbhInstance, CbhInstanceList, Deadline, OmUrl, OmUrlState

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_RAW_STATE_LENGTH = 64

PAGE_SIZE = 100
MAX_PAGES = 10
"""A project holds a handful of instances; whatever a list claims, no more than this is read."""


class CbhClient:
    """One regional CBH endpoint."""

    def __init__(self, transport: CloudTransport, endpoint: str) -> None:
        self._transport = transport
        self._endpoint = endpoint

    def om_url(
        self,
        *,
        token: str,
        project_id: str,
        server_id: str,
        ip_address: str,
        host_account_name: str,
        link_origins: Collection[str],
        allow_http_loopback: bool,
        deadline: Deadline,
    ) -> OmUrl:
        """Ask the bastion for the link that opens one host as one account.

        Address and account name go out exactly as given, percent-encoded. One more try in total is made for
        connection faults, 502, 503 and 504, and for 429 if the wait fits in the deadline; of two links only
        the later could be handed out, and here the first never arrived. A 401 is not repeated here: whoever
        holds the token cache has to get a fresh one first.

        Args:
            server_id: the id of the CBH instance's own server, not of the host to reach.
            link_origins: canonical origins that the link may lead to; none allows none.
            allow_http_loopback: accept an http link to loopback (the sandbox).

        Raises:
            OmUrlRefused: status 200 with a state other than SUCCESS; its `state` says which.
            UnusableLoginUrl, LoginOriginNotAllowed: SUCCESS, with a link that no browser may be sent to.
            UnreadableAnswer: no JSON, no state, cut short, too large.
            TokenRejected: 401; PermissionMissing and other CloudForbidden: 403.
            InstanceNotFound, ProjectNotFound, EndpointWrong, other CloudRequestRefused: 400, 404 …
            CloudUnavailable: no answer in time, a server's error, throttled.
            EndpointNotAllowed: nothing was sent.
        Source: CBH API reference, "Obtaining an O&M URL" (ShowOmUrl).
        """
        query = [("host_account_name", host_account_name), ("ip_address", ip_address), ("server_id", server_id)]
        answer = self._get(project_id, "get-om-url", query=query, token=token, deadline=deadline)
        return _read_link(answer, link_origins, allow_http_loopback)

    def instances(self, *, token: str, project_id: str, deadline: Deadline) -> CbhInstanceList:
        """The project's instances, page by page, up to a hard limit; each once, in the cloud's order.

        It ends when as many entries as the total came, or a page holds nothing new: older editions of the call know
        neither `limit` nor `offset` and answer the whole list again. Whatever ended it, fewer instances than the total
        are no whole list. Each page may be tried twice, as `om_url`.

        Raises: as `om_url`, without its verdicts; PermissionMissing means that the user may not list.
        Source: CBH API reference, "Querying CBH Instances" (ListInstances).
        """
        found: dict[CbhInstance, None] = {}
        seen, total, is_at_end, request_id = 0, None, False, ""
        for _number in range(MAX_PAGES):
            query = [("limit", str(PAGE_SIZE)), ("offset", str(seen))]
            page = read_page(self._get(project_id, "list", query=query, token=token, deadline=deadline))
            request_id = request_id or page.request_id
            known = len(found)
            found.update(dict.fromkeys(page.instances))
            seen += page.entries
            total = total if page.total is None else page.total
            is_whole = page.entries < PAGE_SIZE if total is None else seen >= total
            is_at_end = is_whole or len(found) == known
            if is_at_end:
                break
        is_cut = not is_at_end if total is None else len(found) < total
        return CbhInstanceList(tuple(found), is_cut, request_id)

    def _get(
        self, project_id: str, call: str, *, query: list[tuple[str, str]], token: str, deadline: Deadline
    ) -> Answer:
        """A 200 answer to `GET …/cbs/instance/{call}`. Raises what `om_url` says."""
        if not _VISIBLE_ASCII.fullmatch(token):
            raise TokenRejected(service="cbh", description="The token holds characters that cannot be sent.")

        def ask() -> Answer:
            answer = self._transport.request(
                "GET",
                self._endpoint,
                f"/v2/{path_segment(project_id)}/cbs/instance/{call}",
                query=query,
                headers={"X-Auth-Token": token},
                secrets=(token,),
                deadline=deadline,
                service="cbh",
            )
            if answer.status != 200:
                raise refusal("cbh", answer)
            return answer

        return with_one_more_try(ask, deadline=deadline, may_repeat=_may_repeat)


def _may_repeat(error: CloudUnavailable) -> bool:
    # The request only reads: nothing is spoilt if the first one arrived after all.
    return isinstance(error, CloudConnectionFailed) or is_gateway_trouble(error)


def _read_link(answer: Answer, link_origins: Collection[str], allow_http_loopback: bool) -> OmUrl:
    """Decide a 200 answer: only SUCCESS with a usable link is one; nothing else of it is believed."""
    facts: dict[str, Any] = {"service": "cbh", "status": 200}
    facts["request_id"] = request_id_of(answer.headers, secrets=answer.secrets)
    try:
        body = read_json(answer.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise UnreadableAnswer(problem="not_json", **facts)
    link = body.get("login_url")
    secrets = (*answer.secrets, link) if isinstance(link, str) else answer.secrets
    facts["request_id"] = request_id_of(answer.headers, body, secrets=secrets)
    raw_state = body.get("state")
    try:
        state = OmUrlState.parse(raw_state)
    except ValueError:
        state = None
    if state is None:
        raise UnreadableAnswer(problem="no_state", **facts)
    state_text = clean_text(hide(str(raw_state), secrets), _RAW_STATE_LENGTH)
    if state is not OmUrlState.SUCCESS:
        description = body.get("description")
        facts["description"] = hide(description, secrets) if isinstance(description, str) else ""
        raise OmUrlRefused(state=state, raw_state=state_text, **facts)
    try:
        origin = check_login_url(link, link_origins=link_origins, allow_http_loopback=allow_http_loopback)
    except (UnusableLoginUrl, LoginOriginNotAllowed) as error:
        error.status, error.request_id = 200, facts["request_id"]
        raise
    return OmUrl(value=str(link), origin=origin, request_id=facts["request_id"], upstream_state=state_text)
