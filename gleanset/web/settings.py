"""Settings that all web servers have: who may ask, how much and how often."""

import hmac

import msgspec


class TransferLimits(msgspec.Struct, frozen=True):
    """Limits of requests: `body_bytes` of one, and `seconds` to receive it.

    Of one client: `per_minute` requests, `client_bytes` in flight; of the server: `server_bytes`.
    """

    body_bytes: int = 20_000_000
    seconds: float = 30.0
    per_minute: int = 240
    server_bytes: int = 100_000_000
    client_bytes: int = 40_000_000


class AccessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who may use a server.

    `hosts` are the accepted host names (none: any), `origins` the sites allowed by CORS. `token`
    admits users (None: everyone).
    """

    hosts: tuple[str, ...] = ()
    token: str | None = None
    origins: tuple[str, ...] = ()
    limits: TransferLimits = TransferLimits()

    def lets_in(self, token: str) -> bool:
        """Return whether a token admits a user; compares in constant time."""
        return self.token is None or hmac.compare_digest(
            token.encode(),
            self.token.encode(),
        )
