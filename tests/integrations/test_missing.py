"""An integration whose library is not installed says how to install it, when it is imported."""

import sys
from importlib import import_module

import pytest

from semcache.errors import MissingExtraError

# By integration: the module of the library without which it is nothing, and the extra that brings it.
NEEDED = {"langchain": "langchain_core", "llama_index": "llama_index", "haystack": "haystack", "dspy": "dspy"}


@pytest.mark.parametrize("integration", NEEDED)
def test_the_error_has_the_pip_line(integration: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [one for one in sys.modules if one.partition(".")[0] == NEEDED[integration]]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, NEEDED[integration], None)
    monkeypatch.delitem(sys.modules, f"semcache.integrations.{integration}", raising=False)
    with pytest.raises(MissingExtraError, match=rf"pip install 'redis-semcache\[{integration.replace('_', '-')}\]'"):
        import_module(f"semcache.integrations.{integration}")


def test_the_room_itself_needs_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in NEEDED.values():
        monkeypatch.setitem(sys.modules, library, None)
    assert import_module("semcache.integrations.backing").BackingReranker
