"""The knobs of a migration: from which embedder entries are moved, and at what pace."""

from typing import Literal

from semcache.settings.knobs import Section, knob


class Migration(Section):
    """Moves the entries of a former embedder to the present one while requests go on (docs/migration.md)."""

    from_model: str | None = knob(
        None,
        "The embedder that entries were written with before embedder.model: hub name or folder. While it is named, its "
        "entries are read beside those of embedder.model, and `semcache migrate` moves them. none: no migration",
        reason="a changed embedder is rare, and reading two scopes costs a little with every look-up",
        min_length=1,
    )
    from_backend: Literal["auto", "torch", "onnx", "onnx-int8"] = knob(
        "auto",
        "The library that ran that model, as embedder.backend named it",
        reason="the default of embedder.backend",
    )
    search: bool = knob(
        True,
        "Find near queries among the former entries too, until all of them are moved: each query is then embedded by "
        "both models. false: the former entries are found by their exact query alone",
        reason="near hits would be missed until all is moved; to embed a query takes 1 to 15 ms "
        "(benchmarks/results/embedding.md)",
    )
    server_share: float = knob(
        0.25,
        "Share of the server's time that moving entries may take; it pauses after each small write",
        reason="three quarters are left to requests, and 50,000 entries are moved in some minutes",
        gt=0,
        le=1,
    )
