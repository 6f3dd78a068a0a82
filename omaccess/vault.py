"""Stored secrets: AES-256-GCM, bound to the row and field they belong to, under a named key.

A ciphertext reads `v1.<key id>.<base64url of nonce and sealed bytes>`. The associated data names version, key, table,
row and field, so that a ciphertext copied to another row or field does not open. VAULT_KEYS lists `id:base64 key`
pairs; the first encrypts, all decrypt.
"""

import base64
import binascii
import functools
import re
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from omaccess.errors import VaultError

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_NONCE_BYTES = 12


class InvalidKeys(ValueError):
    """VAULT_KEYS is not a list of `id:base64 of 32 bytes`; the message never quotes a key."""


def keys() -> dict[str, bytes]:
    """Key id to key, the encrypting one first. Raises: InvalidKeys."""
    return _parse(settings.VAULT_KEYS)


def primary_key_id() -> str:
    """The id of the key that encrypts now."""
    return next(iter(keys()))


def key_id_of(ciphertext: str) -> str:
    """The id of the key that a ciphertext was made with; empty when it is none of ours."""
    parts = ciphertext.split(".")
    is_ours = len(parts) == 3 and parts[0] == "v1" and _KEY_ID.fullmatch(parts[1])
    return parts[1] if is_ours else ""


def encrypt(plain: str, *, table: str, row: str, field: str) -> str:
    """Seal a secret for exactly this row and field."""
    key_id = primary_key_id()
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(keys()[key_id]).encrypt(
        nonce, plain.encode("utf-8", "surrogatepass"), _context(key_id, table, row, field)
    )
    return f"v1.{key_id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"


def decrypt(ciphertext: str, *, table: str, row: str, field: str) -> str:
    """The secret again. Raises: VaultError with a reason that never contains any part of it."""
    key_id = key_id_of(ciphertext)
    key = keys().get(key_id)
    if key is None:
        raise VaultError(f"no key with the id {key_id!r} is configured in VAULT_KEYS")
    try:
        raw = _decoded(ciphertext.rsplit(".", 1)[1])
        plain = AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _context(key_id, table, row, field))
    except (InvalidTag, ValueError):
        raise VaultError("the ciphertext does not open: wrong key, altered, or moved from another row") from None
    return plain.decode("utf-8", "surrogatepass")


def _decoded(encoded: str) -> bytes:
    """Strict base64url. Python's decoder skips foreign characters and stray bits, so many texts would open alike.

    Raises: ValueError.
    """
    raw = base64.urlsafe_b64decode(encoded)
    if base64.urlsafe_b64encode(raw).decode() != encoded:
        raise ValueError("not canonical base64url")
    return raw


def _context(key_id: str, table: str, row: str, field: str) -> bytes:
    """Length-prefixed, so that no two contexts share their bytes."""
    return b"".join(len(part.encode()).to_bytes(2) + part.encode() for part in ("v1", key_id, table, row, field))


@functools.lru_cache(maxsize=8)
def _parse(text: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for number, pair in enumerate((part.strip() for part in text.split(",") if part.strip()), start=1):
        key_id, colon, encoded = pair.partition(":")
        if not colon or not _KEY_ID.fullmatch(key_id):
            raise InvalidKeys(f"VAULT_KEYS: entry {number} is not of the form id:base64.")
        if key_id in found:
            raise InvalidKeys(f"VAULT_KEYS: the id {key_id} stands twice.")
        try:
            key = base64.b64decode(encoded, altchars=b"-_" if "-" in encoded or "_" in encoded else None, validate=True)
        except (ValueError, binascii.Error):
            raise InvalidKeys(f"VAULT_KEYS: the key {key_id} is not base64.") from None
        if len(key) != 32:
            raise InvalidKeys(f"VAULT_KEYS: the key {key_id} has {len(key)} bytes; 32 are needed.")
        found[key_id] = key
    if not found:
        raise InvalidKeys("VAULT_KEYS holds no key. Make one with: openssl rand -base64 32")
    return found
