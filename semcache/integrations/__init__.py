"""semcache as a part of other libraries, a module for each; ``backing`` has what they share.

    langchain              SemcacheCompressor, SemcacheCrossEncoder
    llama_index            SemcacheRerank
    haystack               SemcacheRanker
    dspy                   SemcacheRerank
    sentence_transformers  CachedCrossEncoder
    redisvl                SemcacheReranker

Each takes a ready pipeline or CachedReranker, or any reranker, or takes everything from the settings. A module raises
MissingExtraError, with the pip line, where its library is not installed.
"""
