"""Which endpoints this installation may talk to. Endpoints are trust: a credential is sent to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omaccess.cloud.errors import EndpointNotAllowed
from omaccess.cloud.login_url import Origin, OriginProblem, split_origin

# Stands for the wildcard while the rest of a pattern is read as an ordinary origin.
_PLACEHOLDER = "wildcard"


@dataclass(frozen=True, slots=True)
class _Pattern:
    origin: Origin
    suffix: str = ""  # ".myhuaweicloud.com" for a wildcard, else empty

    def matches(self, origin: Origin) -> bool:
        if not self.suffix:
            return origin == self.origin
        return (
            (origin.scheme, origin.port) == (self.origin.scheme, self.origin.port)
            and origin.host.endswith(self.suffix)
            and len(origin.host) > len(self.suffix)
        )


class EndpointRules:
    """The allowed endpoints, as patterns: `https://iam.myhuaweicloud.com`, `https://*.myhuaweicloud.com`.

    `*` stands for one or more whole labels in front; scheme and port are https and its default unless given.
    With `allow_http_loopback` (the sandbox) http to `localhost` and loopback literals is allowed too, on any
    port.

    Raises:
        ValueError: a pattern is malformed or would send secrets over plain http; the message names it.
    """

    def __init__(self, patterns: Sequence[str], *, allow_http_loopback: bool) -> None:
        if isinstance(patterns, str):
            raise TypeError("Patterns are a sequence of texts, not one text.")
        self._patterns = tuple(_parse(pattern) for pattern in patterns)
        self._allow_http_loopback = allow_http_loopback

    def check(self, endpoint: str, *, service: str = "") -> str:
        """The canonical base URL of `endpoint`, `scheme://host[:port]`; one trailing slash is forgiven.

        Raises:
            EndpointNotAllowed: it is malformed or matches no pattern.
        """
        reason = "It is not one of the endpoints that this installation may talk to."
        try:
            origin = split_origin(endpoint.removesuffix("/"))
        except OriginProblem as error:
            reason = str(error)
        else:
            if self._allows(origin):
                return str(origin)
        raise EndpointNotAllowed(service=service, description=reason)

    def _allows(self, origin: Origin) -> bool:
        if origin.scheme == "http":
            return self._allow_http_loopback and origin.is_loopback
        return any(pattern.matches(origin) for pattern in self._patterns)


def _parse(pattern: str) -> _Pattern:
    text = pattern.strip().removesuffix("/")
    if "://" not in text:
        text = f"https://{text}"
    wildcard = "://*." in text
    text = text.replace("://*.", f"://{_PLACEHOLDER}.", 1)
    try:
        if "*" in text:
            raise ValueError("A * may only stand in front, for whole labels.")
        origin = split_origin(text)
        if origin.scheme == "http" and (wildcard or not origin.is_loopback):
            raise ValueError("Plain http is for loopback only.")
    except ValueError as error:
        raise ValueError(f"{pattern!r} is no usable endpoint pattern. {error}") from None
    return _Pattern(origin, origin.host.removeprefix(_PLACEHOLDER) if wildcard else "")
