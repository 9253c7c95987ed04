"""``semcache size``: how much memory a Redis needs for so many entries, and how to set ``maxmemory``."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from typer import Option

from semcache.commands.files import JsonFile, check_folder, present

if TYPE_CHECKING:
    from semcache.redis.memory import Contents
    from semcache.redis.memory_advice import MemoryAdvice


class VectorType(StrEnum):
    """How vectors are stored; the value is what a user types."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"


def size(
    entries: Annotated[int, Option(help="Queries that the cache is to hold at a time.")],
    dims: Annotated[int, Option(help="Length of the embedder's vectors; that of all-MiniLM-L6-v2.")] = 384,
    scores: Annotated[int, Option(help="Scores per entry: documents that a retriever hands to the reranker.")] = 50,
    vector_type: Annotated[VectorType, Option("--type", help="Type of the stored vectors.")] = VectorType.FLOAT16,
    m: Annotated[int, Option("--m", help="Links per vector in the graph.")] = 16,
    tenants: Annotated[int, Option(help="Named tenants that share the entries. 0: none is named.")] = 0,
    documents: Annotated[
        int, Option(help="Different documents that are learned from; at most prune.max_document_vectors.")
    ] = 0,
    document_vectors: Annotated[
        bool, Option("--document-vectors", help="Their vectors are kept too: prune.document_vectors is embed.")
    ] = False,
    shards: Annotated[int, Option(help="Primaries of a Redis Cluster.")] = 1,
    json_file: JsonFile = None,
) -> None:
    """Say how much memory a Redis needs for a cache, and what to set maxmemory to.

    Of the settings, namespace, TTL, signing key and stored queries count. No server is asked. JSON has bytes.
    """
    from dataclasses import asdict

    from semcache.redis.memory import Contents
    from semcache.redis.memory_advice import advise
    from semcache.settings import Settings

    check_folder(json_file)
    cache = Settings().cache
    contents = Contents(
        entries=entries,
        dims=dims,
        scores=scores,
        vector_type=vector_type.value,
        m=m,
        tenants=tenants,
        documents=documents,
        has_document_vectors=document_vectors,
        namespace=cache.namespace,
        expires=cache.ttl_s is not None,
        is_signed=cache.signing_key is not None,
        query_bytes=_TYPICAL_QUERY if cache.store_queries else 0,
    )
    advice = advise(contents, shards)
    present(lambda: _report(contents, advice), lambda: {"contents": asdict(contents), **_figures(advice)}, json_file)


_TYPICAL_QUERY = 40
"""Bytes of a query's text where queries are stored."""
_PARTS = {
    "hashes": "hashes: vector and fields",
    "strings": "strings: scores",
    "graph": "index: graph with its copy of the vectors",
    "document_table": "index: table of entries",
    "key_tables": "tables of keys",
}


def _figures(advice: "MemoryAdvice") -> dict[str, object]:
    from dataclasses import asdict

    there = advice.footprint
    return {
        "shards": advice.shards,
        "per_server": {**asdict(there), "total": there.total, "per_entry": there.per_entry},
        "maxmemory": advice.maxmemory,
        "machine": advice.machine,
        "machine_saving": advice.machine_saving,
    }


def _report(contents: "Contents", advice: "MemoryAdvice") -> str:
    from dataclasses import replace

    from semcache.redis.memory import footprint, grown_scores_bytes, scores_bytes

    there = advice.footprint
    where = "server" if advice.shards == 1 else f"the fullest of {advice.shards} shards"
    lines = [f"{there.entries:,} entries in the {where}: {_gib(there.total)}, {there.per_entry:,.0f} bytes per entry"]
    lines += [
        f"  {getattr(there, part) / there.entries:>7,.0f} {name}  ({getattr(there, part) / there.total:.0%})"
        for part, name in _PARTS.items()
    ]
    if there.documents:
        lines.append(f"  and {_gib(there.documents)} of what is known of documents")
    lines += [
        "",
        f"maxmemory {advice.maxmemory // 2**20}mb",
        "    a fifth more: Redis leaves up to a tenth of the entries that have expired, and the formula may be off",
        "maxmemory-policy allkeys-lru",
        "    when it is full, the entries that were not used for longest make room; docs/redis.md has the others",
        f"memory of the machine for it: {_gib(advice.machine)}",
        "    a tenth more than maxmemory, for what lies unused between the pieces that are used (fragmentation)",
        f"    {_gib(advice.machine_saving)} if it saves to disk (RDB, AOF rewrite) or has a replica: what is written",
        "    while a forked process saves is there twice, and a replica that is behind gets a buffer of 256 MB",
    ]
    in_pieces = footprint(replace(contents, entries=1, listpack_value=64)).hashes - there.hashes / there.entries
    if in_pieces:
        lines += [
            f"hash-max-listpack-value {contents.listpack_value}",
            f"    counted on; with Redis' default of 64, each hash lies in pieces: {in_pieces:,.0f} bytes more",
        ]
    grown = grown_scores_bytes(contents) - scores_bytes(contents)
    lines += [
        "",
        f"Not counted: up to {grown:,} bytes for an entry that gets scores of further documents later, since Redis",
        "sets aside twice what is appended to; 16 MB for the index's table once a million entries have been written.",
    ]
    return "\n".join(lines)


def _gib(number: float) -> str:
    return f"{number / 2**30:.2f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
