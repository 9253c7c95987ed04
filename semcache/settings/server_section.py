"""The knobs of ``semcache serve``: where it listens, who may ask, and how much."""

from typing import Literal

from pydantic import field_validator

from semcache.settings.knobs import Key, Section, knob

_SHORTEST_KEY = 16
"""Characters of an API key. 16 of base64 are 96 random bits, which cannot be guessed over a network."""


class Server(Section):
    """The HTTP server: address, keys, limits of a request, and what happens under overload."""

    host: str = knob(
        "127.0.0.1",
        "Address to listen on; 0.0.0.0 is every IPv4 address of the machine",
        reason="without API keys, a server that others can reach answers everyone, so that has to be asked for",
        min_length=1,
    )
    port: int = knob(8080, "Port to listen on; 0 picks a free one", reason="free for all users", ge=0, le=65535)
    workers: int = knob(
        1,
        "Processes that answer requests. Each loads its own models; entries are shared through Redis",
        unit="processes",
        reason="a local model uses all cores by one call, and merges requests within a process only; more pay where a "
        "service scores, or exact hits alone fill a core",
        ge=1,
        le=1024,
    )
    api_keys: Key | None = knob(
        None,
        "Keys that requests must bear (Authorization: Bearer KEY), separated by spaces or commas, each of at least "
        f"{_SHORTEST_KEY} characters. tenant:key binds a key to a tenant; a bare key may name any tenant in "
        "server.tenant_header, and see /stats and /metrics. none: everyone may ask",
        reason="a server on this machine alone needs none; in the environment as SEMCACHE_SERVER__API_KEYS",
        min_length=1,
    )
    tenant_header: str | None = knob(
        "X-Tenant",
        "Header that names the tenant of a request. none: tenants come from the keys alone",
        reason="gateways set one from what they know of the caller; without it the tenant is the default one",
        pattern=r"^[A-Za-z0-9-]+$",
    )
    max_documents: int = knob(
        1000,
        "Most documents of one request; more are refused with status 413",
        unit="documents",
        reason="the most that Cohere advises, so that its clients need no change",
        ge=1,
        le=1_000_000,
    )
    max_chars: int = knob(
        100_000,
        "Most characters of the query, and of one document; longer ones are refused with status 413",
        unit="characters",
        reason="rerankers read 512 to 8,192 tokens of about 4 characters; what is longer is hardly a passage",
        ge=1,
        le=100_000_000,
    )
    max_body_bytes: int = knob(
        8_000_000,
        "Most bytes of one request; larger ones are refused with status 413 as soon as that shows",
        unit="bytes",
        reason="a thousand passages of 8,000 bytes; together with max_requests it bounds the memory of requests",
        ge=1000,
        le=10_000_000_000,
    )
    max_requests: int = knob(
        256,
        "Requests under way at once in one process; further ones are refused with status 503 and Retry-After",
        unit="requests",
        reason="their bodies then take at most 2 GB, and usual ones 20 MB; the pipeline's queue is full long before",
        ge=1,
        le=1_000_000,
    )
    retry_after_s: int = knob(
        1,
        "What Retry-After says when a request is refused under overload",
        unit="s",
        reason="a queue of eight batches is worked off in a few seconds, and callers come back one by one",
        ge=1,
        le=3600,
    )
    degraded: Literal["answer", "refuse"] = knob(
        "answer",
        "answer: a request that the primary reranker could not answer gets the order of a lower rung, with status 200 "
        "and X-Semcache-Status: degraded; refuse: it gets status 503 and Retry-After",
        reason="an answer by a lower rung is worth more than an error, except to clients that have a better one",
    )
    deadline_s: float = knob(
        30.0,
        "Longest time to read a request, and again to answer it; a request may ask for less by X-Semcache-Deadline-S",
        unit="s",
        reason="proxies give up after 60 s by default, and the ladder answers long before",
        gt=0,
        le=3600,
    )
    shutdown_s: float = knob(
        20.0,
        "How long requests may take to end after SIGTERM or Ctrl-C, before those that are left fail",
        unit="s",
        reason="Kubernetes kills after 30 s",
        ge=1,
        le=3600,
    )
    scores: Literal["auto", "raw", "sigmoid"] = knob(
        "auto",
        "raw: relevance scores are the reranker's own; sigmoid: 1 / (1 + exp(-score)); auto: sigmoid of every reranker "
        "that gave a score outside of 0..1 before, two fixed pairs at the start included, and raw of others",
        reason="clients of Cohere, Jina and TEI expect 0..1; cross-encoders give logits, most services do not. The "
        "order is the same",
    )

    page: bool = knob(
        True,
        "Show a page about the running server at /. It has no figures itself and needs no key; with API keys it asks "
        "for one that may see /stats",
        reason="the first look at a new server; what it shows is what /stats shows, to the same callers",
    )

    @field_validator("api_keys")
    @classmethod
    def _long_and_distinct(cls, keys: Key | None) -> Key | None:
        given = [] if keys is None else [key for _, key in tenants_and_keys(keys.get_secret_value())]
        if keys is not None and not given:
            raise ValueError("names no key; leave it out where everyone may ask")
        if any(len(key) < _SHORTEST_KEY for key in given):
            raise ValueError(f"has a key of fewer than {_SHORTEST_KEY} characters; make one by: openssl rand -hex 32")
        if not all(key.isascii() for key in given):
            raise ValueError("has a key with letters that a header cannot carry; make one by: openssl rand -hex 32")
        if len(set(given)) < len(given):
            raise ValueError("has the same key twice; each belongs to one tenant, or to none")
        return keys


def tenants_and_keys(text: str) -> list[tuple[str | None, str]]:
    """The tenant (None for a key that may name any) and the key of each entry of ``server.api_keys``.

    Example:
        >>> tenants_and_keys("shop-a:5f1d, 77ab")
        [('shop-a', '5f1d'), (None, '77ab')]
    """
    parts = [entry.rpartition(":") for entry in text.replace(",", " ").split()]
    return [(tenant if colon else None, key) for tenant, colon, key in parts]
