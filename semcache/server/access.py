"""Keys, and the tenants that they are bound to."""

from hashlib import sha256
from hmac import compare_digest

from starlette.datastructures import Headers

from semcache.server.refusals import RefusedError
from semcache.settings import Server, tenants_and_keys


class Access:
    """Finds the tenant of a request by its key and its header, as ``server.api_keys`` and ``server.tenant_header`` say.

    Example:
        >>> tenant = Access(settings.server).tenant_of(request.headers)
    """

    def __init__(self, server: Server) -> None:
        given = [] if server.api_keys is None else tenants_and_keys(server.api_keys.get_secret_value())
        # Digests are of one length, so that the comparison does not tell that of a key either.
        self._keys = [(tenant, _digest(key)) for tenant, key in given]
        self._header = server.tenant_header

    def tenant_of(self, headers: Headers) -> str:
        """The tenant; "" is the default one.

        Raises RefusedError: 401 without a valid key, 403 where the key is bound to another tenant than the header
        names, 400 for a header that comes twice or is not UTF-8.
        """
        bound, named = self._bound_tenant(headers), self._named_tenant(headers)
        if bound is not None and named not in (None, bound):
            raise RefusedError(403, f"this key is bound to another tenant than {self._header} names; leave it out")
        return bound if bound is not None else (named or "")

    def check_operator(self, headers: Headers) -> None:
        """Raises RefusedError unless the figures of all tenants may be seen: by a key that is bound to none of them."""
        if self._bound_tenant(headers) is not None:
            raise RefusedError(403, "this key is bound to a tenant; use one of server.api_keys that is not")

    def _bound_tenant(self, headers: Headers) -> str | None:
        if not self._keys:
            return None
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given, matches = _digest(key.strip()), []
        # All are compared, however early one matches: the time tells nothing about them.
        for tenant, digest in self._keys:
            if compare_digest(given, digest):
                matches.append(tenant)
        if not matches or scheme.lower() != "bearer":
            raise RefusedError(401, "a valid API key is needed; send it as: Authorization: Bearer KEY")
        return matches[0]

    def _named_tenant(self, headers: Headers) -> str | None:
        named = [] if self._header is None else headers.getlist(self._header)
        # A gateway may add its own behind that of a caller, who would be believed.
        if len(named) > 1:
            raise RefusedError(400, f"{self._header} was sent {len(named)} times; send it once")
        try:
            # HTTP's own encoding is latin-1; names of tenants are those that the library gets, in UTF-8.
            return named[0].encode("latin-1").decode() if named else None
        except UnicodeDecodeError:
            raise RefusedError(400, f"{self._header} is not UTF-8") from None


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
