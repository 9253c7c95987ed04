"""The knobs around the rerankers: monitor, circuit breaker and batching."""

from typing import Literal, Self

from pydantic import model_validator

from semcache.settings.knobs import Section, knob

OnFull = Literal["fallback", "reject", "wait"]
"""The treatment of a request that finds the queue of the model full."""

Workers = Literal["threads", "processes"]
"""Where a model computes."""


class Monitor(Section):
    """When the primary reranker counts as slow."""

    window_size: int = knob(
        100,
        "How many of the primary reranker's latest calls are judged",
        unit="calls",
        reason="more than 5 of 100 calls have to be slow, so single ones never open the circuit breaker",
        ge=1,
        le=100_000,
    )
    p95_threshold_s: float = knob(
        2.0,
        "The primary reranker is not asked for a while when more than 5 % of its calls take longer",
        unit="s",
        reason="what the drop-in constructors have always used; set it near the p99 of your healthy reranker, because "
        "at its p95 the breaker would open all the time",
        gt=0,
        le=3600,
    )
    min_samples: int = knob(
        20,
        "Calls needed before the window is judged",
        unit="calls",
        reason="below 20 the nearest-rank p95 is the maximum",
        ge=1,
        le=100_000,
    )

    per_pair: bool = knob(
        False,
        "Whether the threshold is in seconds per pair. Without it a call that has more pairs than usual may take "
        "longer in proportion, and one of usual size takes at most the threshold",
        reason="callers wait for calls and not for pairs, and a service mostly costs as much for one pair as for ten",
    )

    @model_validator(mode="after")
    def _window_holds_the_minimum(self) -> Self:
        if self.min_samples > self.window_size:
            raise ValueError(
                f"min_samples {self.min_samples} is above window_size {self.window_size}, so the window could never "
                "be judged; lower the one or raise the other"
            )
        return self


class Breaker(Section):
    """When a circuit breaker keeps calls from a reranker, and when the reranker is tried again."""

    open_s: float = knob(
        5.0,
        "How long the breaker stays open at first; a fifth of that after errors",
        unit="s",
        reason="a garbage collection, or another process that took the processor, is over by then",
        gt=0,
        le=3600,
    )
    max_open_s: float = knob(
        10.0,
        "How long the breaker stays open at most; the time doubles with every failed probe",
        unit="s",
        reason="a primary that works again is used again within 15 s, and a call each ten seconds costs little",
        gt=0,
        le=3600,
    )
    probes: int = knob(
        3,
        "How many probes in a row must be fast before the breaker closes",
        unit="calls",
        reason="one fast call may be luck, and three cost little",
        ge=1,
        le=1000,
    )
    probe_factor: float = knob(
        0.8,
        "A probe is fast below this share of the p95 threshold",
        reason="with 1 a primary just at the threshold would be switched off and on all the time",
        gt=0,
        le=1,
    )
    errors: int = knob(
        5,
        "Errors of the primary in a row that open the breaker at once, unless a request that it scored before is still "
        "scored: then the inputs are at fault",
        unit="calls",
        reason="errors return quickly, so latency does not show them; five in a row are hardly chance",
        ge=1,
        le=1000,
    )
    slow_in_a_row: int = knob(
        3,
        "Calls in a row slower than the p95 threshold that open the breaker at once, when there are enough samples",
        unit="calls",
        reason="where 1 % of calls are slow by chance, three in a row are seen once in a million calls; six of the "
        "latest hundred, which p95 waits for, can take half a minute of slow calls",
        ge=1,
        le=1000,
    )
    shadow: bool = knob(
        False,
        "Whether probes are copies of requests that another reranker answers, so that no caller waits for a probe",
        reason="a probe otherwise answers its caller too, so that no call is made for nothing",
    )
    state: Literal["auto", "open", "disabled"] = knob(
        "auto",
        "open: no call goes to the primary; disabled: every call goes to it, however slow it is; auto: the breaker "
        "decides. The command semcache breaker does the same for running processes",
        reason="the breaker knows better than a file, except during maintenance and tests",
    )

    @model_validator(mode="after")
    def _back_off_grows(self) -> Self:
        if self.max_open_s < self.open_s:
            raise ValueError(
                f"max_open_s {self.max_open_s} is below open_s {self.open_s}; raise the one or lower the other"
            )
        return self


class Batching(Section):
    """How requests that arrive together share the model."""

    concurrency: int | None = knob(
        None,
        "How many calls of the primary reranker may run at once. none: as it says itself, 100 of an asynchronous one, "
        "20 of a client of a known service, and else 1",
        unit="calls",
        reason="few local models may be shared by threads, so a function that calls a service has to say so",
        ge=1,
        le=10_000,
    )
    workers: Workers = knob(
        "threads",
        "Where the calls of the primary are made; processes are for models in Python code, of which threads run one at "
        "a time. Each loads the model",
        reason="torch and onnxruntime compute outside of Python's lock and use all cores by one call",
    )
    requests_per_minute: float | None = knob(
        None,
        "Most calls of the primary reranker that begin in one minute. none: no limit",
        reason="services have such limits, and no two the same; a local model has none",
        gt=0,
        le=100_000_000,
    )
    pairs_per_minute: float | None = knob(
        None,
        "Most pairs that the primary reranker is asked about in one minute. none: no limit",
        reason="as for requests_per_minute",
        gt=0,
        le=10_000_000_000,
    )
    max_batch_pairs: int = knob(
        128,
        "Most pairs merged into one batch of several requests; a value other than the default also splits a larger "
        "single request, unless max_pairs_per_call says otherwise",
        unit="pairs",
        reason="a request of 100 candidates still shares a call; larger calls make each of their requests wait longer",
        formerly="max_pairs",
        ge=1,
        le=1_000_000,
    )
    max_pairs_per_call: int | None = knob(
        None,
        "Most pairs that one call of the primary takes, as services have such limits; a larger request is split into "
        "several calls. For rerankers that give an order it is an error. none: as max_batch_pairs says",
        unit="pairs",
        reason="a local model takes any number, and one call then costs less than several",
        ge=1,
        le=1_000_000,
    )
    max_queue_pairs: int = knob(
        1024,
        "Most pairs that wait for the model, for each of its calls that may run at once; a request beyond that is "
        "answered by the next rung",
        unit="pairs",
        reason="eight full batches; a request behind more than that would be answered too late",
        ge=1,
        le=10_000_000,
    )
    max_wait_s: float = knob(
        0.0,
        "How long an idle primary waits for requests to merge with the first one",
        unit="s",
        reason="requests come together by themselves while a model works; a wait pays only where calls are expensive "
        "to begin",
        ge=0,
        le=60,
    )
    on_full: OnFull = knob(
        "fallback",
        "A request that finds the queue full is answered by the next rung (fallback), raises QueueFullError (reject), "
        "or waits however many wait before it (wait)",
        reason="an answer by a lower rung is worth more than an error or a late one",
    )
    admission_factor: float = knob(
        0.8,
        "While the worker is busy, a request goes to the next rung when wait + estimate exceed this share of the p95 "
        "threshold, by more than the estimate may be wrong",
        reason="a request that would wait longer is answered sooner by a cheaper rung; the rest is for wrong estimates",
        gt=0,
        le=1,
    )
    tenant_share: float = knob(
        0.5,
        "Share of the queue, of the time that requests may wait, and of the calls at once, that one tenant may take "
        "up while there are requests of others; 1: no limit",
        reason="a tenant that floods the model then leaves others half of the room, and loses nothing while it is "
        "alone; a queue that is half as long keeps the model as busy",
        gt=0,
        le=1,
    )
    repair: bool = knob(
        True,
        "Whether requests that a lower rung answered are scored by the primary later, in spare time, and remembered",
        reason="a repetition of the request is then answered exactly; only a healthy and idle primary is asked",
    )
