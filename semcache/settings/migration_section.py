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
    from_vector_type: Literal["float16", "float32"] | None = knob(
        None,
        "cache.vector_type of the former entries. none: the same",
        reason="the index mostly stays as it is",
    )
    from_m: int | None = knob(
        None,
        "cache.m of the former entries. none: the same",
        unit="links",
        reason="the index mostly stays as it is",
        ge=2,
        le=512,
    )
    from_ef_construction: int | None = knob(
        None,
        "cache.ef_construction of the former entries. none: the same",
        unit="candidates",
        reason="the index mostly stays as it is",
        ge=1,
        le=4096,
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
        "Share of the server's time that moving entries may take, and putting them back into an index that had "
        "vanished; it pauses after each small write",
        reason="three quarters are left to requests, and 50,000 entries are moved in some minutes",
        gt=0,
        le=1,
    )

    @property
    def is_of_index(self) -> bool:
        """Whether the former entries have another index, whatever their embedder."""
        return (self.from_vector_type, self.from_m, self.from_ef_construction) != (None, None, None)
