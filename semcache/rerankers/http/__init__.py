"""Rerankers behind an HTTP API: hosted services and servers of one's own.

``dialects`` says how each kind of service is asked and how it answers, ``endpoint`` where it is, ``answers`` reads what
it says, ``attempts`` decides what is tried again and when, ``clients`` keeps the connections, and ``reranker`` puts
these together.
"""

from semcache.rerankers.http.dialects import DIALECTS, Dialect
from semcache.rerankers.http.reranker import HttpReranker

__all__ = ["DIALECTS", "Dialect", "HttpReranker"]
