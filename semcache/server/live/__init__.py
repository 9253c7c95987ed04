"""Figures of a running server as time series: what its page and ``semcache top`` show.

``ring`` keeps the latest requests, ``recorder`` is the observer that fills it, ``parts`` is what one process knows,
``workers`` how the processes of a server ask each other, ``figures`` adds their parts, ``health`` and ``remedies`` say
what is wrong and what to do, and ``view`` does all of that when it is asked.
"""
