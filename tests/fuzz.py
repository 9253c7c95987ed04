"""Feeds damaged and invented bytes to everything that decodes bytes: ``python -m tests.fuzz [DECODER ...]``.

Inputs are valid ones in which bits, bytes and whole parts were changed, cut out, doubled or exchanged, and random ones.
A decoder must refuse each in the way that it promises, within a second of the processor, or give what a valid input
gives. An input that breaks this is printed with its seed, and the exit status is 1.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import hiredis
import numpy as np

from semcache.entries import codec, fields
from semcache.entries.checks import Damaged, derived_key
from semcache.entries.fields import Fields
from semcache.entries.fingerprint import tenant_tag
from semcache.errors import ConfigurationError, IndexMismatchError, TransientStoreError
from semcache.guards import guard_of
from semcache.pruning.statistics import Statistics
from semcache.redis.client.wire import NO_VALUE
from semcache.redis.damage import Damage
from semcache.redis.index import check_index
from semcache.redis.layout import Layout, vector_attributes
from semcache.redis.search import hits_in
from semcache.settings.yaml_files import load_yaml, schema_path

_SLOWEST_S = 1.0
_OWNER = b"semcache:default:abcdefghijk:s:{entry}"
_KEY = derived_key("a secret of sixteen characters")
_TENANT = "acme"
_LAYOUT = Layout.of(namespace="default", reranker="r", embedder="e", dims=16, signing_key="a secret of sixteen letters")


@dataclass(frozen=True, slots=True)
class Decoder:
    """``samples`` are valid inputs. ``decode`` raises AssertionError for a wrong result; nothing else may be raised.

    ``longest`` bounds inputs, in bytes.
    """

    samples: Sequence[bytes]
    decode: Callable[[bytes], object]
    longest: int


def _scores() -> Decoder:
    rng = random.Random(1)
    blocks = [
        codec.pack(_OWNER, [(rng.randbytes(16), rng.uniform(-9, 9)) for _ in range(count)], _KEY)
        for count in (1, 5, 50)
    ]
    # Whole blocks, also the same one twice, are what two writers may leave.
    known = {(bytes(fingerprint), score) for block in blocks for fingerprint, score in _read(block).items()}

    def decode(blob: bytes) -> None:
        try:
            scores = codec.unpack(_OWNER, blob, _KEY)
        except Damaged:
            return
        assert set(dict(scores or {}).items()) <= known, "damaged scores were accepted"

    return Decoder([*blocks, b"".join(blocks)], decode, 4000)


def _read(block: bytes) -> Mapping[bytes, float]:
    return codec.unpack(_OWNER, block, _KEY) or {}


def _found() -> tuple[bytes, dict[bytes, bytes], np.ndarray]:
    vector = np.random.default_rng(1).standard_normal(16).astype(np.float32)
    vector /= np.linalg.norm(vector)
    packed = _LAYOUT.vectors.pack(vector)
    assert packed is not None
    key = _LAYOUT.keys.vector(_TENANT, "q")
    flat = Fields(packed, tenant_tag(_TENANT).encode(), 1e9, b"\xff\x00cues", "query").pack(key, _LAYOUT.signing_key)
    return key, dict(zip(flat[::2], flat[1::2], strict=True)), vector


def _hashes() -> Decoder:
    key, values, _ = _found()

    def decode(data: bytes) -> None:
        reply = _resp(data)
        if not isinstance(reply, list) or len(reply) % 2 or not all(isinstance(part, bytes) for part in reply):
            return
        read = dict(zip(reply[::2], reply[1::2], strict=True))
        try:
            fields.unpack(key, read, tenant_tag(_TENANT).encode(), _LAYOUT.signing_key)
        except Damaged:
            return
        for name in (b"embedding", b"created_at", b"cues", b"query"):
            assert read.get(name, b"") == values[name], f"a changed {name!r} was accepted"

    return Decoder([_encoded([part for pair in values.items() for part in pair])], decode, 1000)


def _searches() -> Decoder:
    key, values, vector = _found()
    flat = [part for pair in {b"vector_distance": b"0.0", **values}.items() for part in pair]

    def decode(data: bytes) -> None:
        damages: list[Damage] = []
        for hit in hits_in(_resp(data), _LAYOUT, _TENANT, vector, -1.0, damages, []):
            assert hit is None or (hit.key == key and hit.similarity > 0.99), "a changed entry was accepted"

    return Decoder([_encoded([1, key, flat]), _encoded([2, key, flat, b"gone", None])], decode, 1500)


def _indexes() -> Decoder:
    field = [
        b"identifier",
        b"embedding",
        b"type",
        b"VECTOR",
        b"algorithm",
        b"HNSW",
        b"data_type",
        b"FLOAT16",
        b"dim",
        16,
    ]
    info = [b"index_name", b"i", b"attributes", [[b"identifier", b"t", b"type", b"TAG", b"SORTABLE"], field]]
    attributes = vector_attributes(dims=16)

    def decode(data: bytes) -> None:
        try:
            check_index("i", attributes, _resp(data))
        except (IndexMismatchError, TransientStoreError):
            return

    return Decoder([_encoded(info)], decode, 500)


def _cues() -> Decoder:
    guard = guard_of("facts")
    assert guard is not None
    samples = [guard.cues(query) for query in ("fly to Rome with 2 bags", "can I sue her or not", "从北京到上海 " * 40)]

    def decode(blob: bytes) -> None:
        difference = guard.difference(samples[0], blob, 0.98)
        assert difference is None or difference.isalpha(), difference

    return Decoder(samples, decode, 300)


def _sums() -> Decoder:
    sample = Statistics.empty().to_bytes()

    def decode(blob: bytes) -> None:
        read = Statistics.from_bytes(blob)
        assert read is None or np.isfinite(read.sums).all(), "sums that are not finite were accepted"

    return Decoder([sample], decode, 2 * len(sample))


def _settings() -> Decoder:
    folder = tempfile.TemporaryDirectory(prefix="semcache-fuzz-")
    packaged = schema_path("pipeline.yaml").read_bytes()
    # Without comments, which are most of the file.
    bare = b"\n".join(line for line in packaged.splitlines() if not line.lstrip().startswith(b"#"))
    tricky = (
        b"a: &a {x: 1, <<: *b}\n? [k]\n: !!float .inf\nc: | \n  t\nd: !!binary aGk=\ne: 2001-01-01 1:2:3\nf: 0x_1:59\n"
    )

    def decode(text: bytes) -> None:
        path = Path(folder.name) / "settings.yaml"
        path.write_bytes(text)
        try:
            load_yaml(path)
        except ConfigurationError:
            return

    return Decoder([bare, tricky, *(bare[at : at + 200] for at in range(0, len(bare), 200))], decode, 2000)


DECODERS: Mapping[str, Callable[[], Decoder]] = {
    "scores": _scores,
    "hashes": _hashes,
    "searches": _searches,
    "indexes": _indexes,
    "cues": _cues,
    "sums": _sums,
    "settings": _settings,
}


def _encoded(value: object) -> bytes:
    """A reply as the server sends it."""
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(map(_encoded, value))
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    return b"$-1\r\n" if value is None else b":%d\r\n" % value  # type: ignore[str-format]


def _resp(data: bytes) -> object:
    """The reply in these bytes; None where the connection would end, or wait for more."""
    reader = hiredis.Reader()
    reader.feed(data)
    try:
        reply = reader.gets()
    except (hiredis.HiredisError, *NO_VALUE):  # an error of the connection, also where replies are read
        return None
    return None if reply is False else reply


def inputs(samples: Sequence[bytes], longest: int, rng: random.Random) -> Iterator[bytes]:
    """Inputs without end."""
    while True:
        if rng.random() < 0.1:
            yield rng.randbytes(rng.randrange(longest))
            continue
        changed = bytearray(rng.choice(samples))
        for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
            _change(changed, rng, samples)
        yield bytes(changed[:longest])


def _change(data: bytearray, rng: random.Random, samples: Sequence[bytes]) -> None:
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    other = rng.choice(samples)
    match rng.randrange(7):
        case 0 if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 1 if data:
            data[rng.randrange(len(data))] = rng.choice(b"\x00\x01\x02\xff*$:-0127{}[]&\n ")
        case 2:
            del data[start:end]
        case 3:
            data[start:start] = data[start:end]
        case 4:
            data[start:end] = other[start:end]
        case 5:
            data += other
        case _:
            data[start:start] = rng.randbytes(rng.randrange(9))


def run(name: str, size: int, seed: int) -> bool:
    """Feed ``size`` bytes to a decoder; True if it kept its promises."""
    decoder = DECODERS[name]()
    for sample in decoder.samples:
        decoder.decode(sample)
    rng = random.Random(f"{name} {seed}")
    fed = count = 0
    slowest, began = 0.0, process_time()
    for data in inputs(decoder.samples, decoder.longest, rng):
        started = process_time()
        try:
            decoder.decode(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, this is what is looked for
            print(f"{name}: {type(error).__name__}: {error}\n  seed {seed}, input {count}: {data!r}")
            return False
        took = process_time() - started
        slowest = max(slowest, took)
        if took > _SLOWEST_S:
            print(f"{name}: took {took:.1f} s\n  seed {seed}, input {count}: {data!r}")
            return False
        fed, count = fed + len(data), count + 1
        if fed >= size:
            break
    print(
        f"{name:<9} {fed:>12,} bytes in {count:>9,} inputs, {process_time() - began:6.1f} s, "
        f"slowest {1000 * slowest:6.1f} ms: no failure",
        flush=True,
    )
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description="Feeds damaged and invented bytes to everything that decodes bytes.")
    parser.add_argument("decoders", nargs="*", metavar="DECODER", help=f"default: all of {', '.join(DECODERS)}")
    parser.add_argument("--bytes", type=int, default=10_000_000, help="how many bytes each decoder is fed")
    parser.add_argument("--seed", type=int, default=1, help="another seed makes other inputs")
    options = parser.parse_args()
    unknown = set(options.decoders) - set(DECODERS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    outcomes = [run(name, options.bytes, options.seed) for name in options.decoders or DECODERS]
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
