"""Tokens that callers show: how they are made, and what is kept of them.

A token is `sqs_ID_SECRET`: the id is no secret and finds its entry, the secret is 256 random bits. Only the SHA-256 of
the whole is kept. A slow hash (scrypt, Argon2) is for passwords, which can be guessed; 256 random bits cannot, however
fast one tries, and a slow hash at every call would let anybody keep the server busy. Therefore nobody chooses a token:
they are made here. Knows nothing about gRPC.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

_ID_BYTES = 6
_SECRET_BYTES = 32
_TOKEN = re.compile(r"sqs_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_NO_DIGEST = "0" * 64


def new_token() -> str:
    """Return a token that nobody knows."""
    return f"sqs_{secrets.token_hex(_ID_BYTES)}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def token_id(token: str) -> str | None:
    """Return the id in `token`, or None if that is no token."""
    found = _TOKEN.fullmatch(token)
    return None if found is None else found[1]


def digest(token: str) -> str:
    """Return what is kept of `token`: 64 hex digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def matches(token: str, kept: str | None) -> bool:
    """Whether `kept` is of `token`, in a time that does not tell how much of it is right. None is of no token."""
    same = hmac.compare_digest(digest(token), _NO_DIGEST if kept is None else kept)
    return same and kept is not None
