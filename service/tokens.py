"""`python -m service.tokens new`: makes a token for a caller. It is printed once; the server's file keeps its hash."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from service.callers import CallersError, read_callers
from service.identity import TENANT, TENANT_RULE, Role
from service.token import digest, new_token, token_id

_ONLY_ITS_OWNER = 0o600


def main(arguments: list[str] | None = None) -> int:
    """Run the command: the token goes to stdout, its entry into the file. Returns the exit code, 0 or 1."""
    given = _parser().parse_args(arguments)
    token = new_token()
    entry = _entry(token, given.tenant, given.role, given.days)
    try:
        if given.file is None:
            print(entry, file=sys.stderr)
        else:
            _append(given.file, entry)
    except (CallersError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(token)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m service.tokens", description="Make tokens for callers.")
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new", help="print a new token, once", description="Print a new token, once.")
    new.add_argument("--tenant", type=_tenant, help="whom calls with it are for; default: nobody")
    new.add_argument("--role", choices=list(map(str, Role)), default=str(Role.USER), help="default: user")
    new.add_argument("--days", type=_days, metavar="N", help="days until it expires; default: never")
    new.add_argument(
        "--file", type=Path, help="the server's file of callers, which gets its entry; default: stderr gets it"
    )
    return parser


def _tenant(tenant: str) -> str:
    if not TENANT.fullmatch(tenant):
        raise argparse.ArgumentTypeError(f"{tenant!r}; allowed: {TENANT_RULE}")
    return tenant


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= 36_500:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: over 0 to 36500")
    return days


def _entry(token: str, tenant: str | None, role: str, days: float | None) -> str:
    lines = ["[[token]]", f'id = "{token_id(token)}"', f'sha256 = "{digest(token)}"']
    if tenant is not None:
        lines.append(f'tenant = "{tenant}"')
    lines.append(f'role = "{role}"')
    if days is not None:
        expires = datetime.now(UTC) + timedelta(days=days)
        lines.append(f"expires = {expires.isoformat(timespec='seconds')}")
    return "\n".join(lines)


def _append(path: Path, entry: str) -> None:
    """Put an entry at the end of the file, in one piece: a server may read it at any time."""
    path.touch(_ONLY_ITS_OWNER)
    read_callers(path)
    with path.open("ab", buffering=0) as file:
        file.write(f"\n{entry}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
