"""Whether entries of a file fit where they are to be stored, and what to do where they do not."""

from collections.abc import Sequence

from semcache.commands.transfer.format import Header
from semcache.commands.transfer.source import Place
from semcache.errors import InvalidInputError

_SHOWN = "semcache config shows what is set here"


def fitting_place(header: Header, places: Sequence[Place], name: str) -> Place:
    """The place that the entries of a file belong to. Raises InvalidInputError that says in what they differ."""
    for place in places:
        if not _difference(header, place):
            return place
    if not places:
        raise InvalidInputError(
            f"{name} has scores of {header.reranker}, and the reranker here is another one; set the reranker that the "
            f"scores are of ({_SHOWN})"
        )
    raise InvalidInputError(f"{name} {_difference(header, places[0])}")


def _difference(header: Header, place: Place) -> str:
    """In what they differ, and the remedy; empty if they fit, whatever the index is like and where tenants are kept."""
    here = place.header()
    if header.reranker != here.reranker or header.listwise != here.listwise:
        return (
            f"has scores of {header.reranker}, and the reranker here is {here.reranker}; set the reranker that the "
            f"scores are of ({_SHOWN})"
        )
    if header.embedder != here.embedder or header.dims != here.dims:
        return (
            f"has vectors of {header.embedder}, and the embedder here is {here.embedder}; set the embedder that the "
            f"vectors are of ({_SHOWN})"
        )
    if header.signed_with != here.signed_with:
        key = "without a signing key" if not header.signed_with else "with another signing key"
        return f"was written {key}; set SEMCACHE_CACHE__SIGNING_KEY as where it was exported"
    if header.entry_format != here.entry_format:
        return f"has entries of format {header.entry_format}, and here it is {here.entry_format}; use the same release"
    return ""
