"""Names loaded torch models by what is in memory: weights may have been trained or replaced since they were read."""

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np

from semcache.identity.code import read_function

_SAMPLED = 4096
"""Bytes of a tensor that are hashed, evenly spread; all others count by their sum."""

# Of a configuration: where a model was read from and by which version, which change no score.
_ORIGIN = ("_name_or_path", "_commit_hash", "transformers_version")


def weights_hint(module: Any) -> str | None:
    """8 hexadecimal digits that change with the tensors of a torch module; None where it has none that can be read.

    Of each tensor its name, type and shape are hashed, an exact sum of its bits, and a sample of its bytes. A model of
    33 million parameters takes 12 ms; to hash every byte, as of its files, takes ten times that
    (benchmarks/results/identity.md).
    """
    digest = blake2b(digest_size=4)
    state = _state_of(module)
    try:
        count = sum(_add(digest, name, value) for name, value in sorted(state.items()))
    except (RuntimeError, TypeError, NotImplementedError):  # weights on disk, or of a type that has no plain bytes
        return None
    return digest.hexdigest() if count else None


def settings_hint(model: Any) -> str:
    """8 hexadecimal digits of what else a loaded sentence-transformers model does by: prompt, configuration, tokenizer.

    The prompt is the one that is used when none is asked for.
    """
    digest = blake2b(digest_size=4)
    for part in _settings_of(model):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def callable_hint(function: Any) -> str:
    """8 hexadecimal digits of a function or a module that is called like one, with its parameters and its code."""
    if not hasattr(function, "__dict__") or hasattr(function, "__qualname__"):
        return read_function(function).digest[:8]
    plain = {name: value for name, value in vars(function).items() if not name.startswith("_") and name != "training"}
    # Of a torch module ``forward``; its ``__call__`` is the same for all.
    run = getattr(type(function), "forward", None) or type(function).__call__
    kind = f"{type(function).__module__}.{type(function).__qualname__}"
    weights = weights_hint(function)
    return blake2b(
        f"{kind} {read_function(tuple(sorted(plain.items()))).digest} {read_function(run).digest} {weights}".encode(),
        digest_size=4,
    ).hexdigest()


def _state_of(module: Any) -> Mapping[str, Any]:
    state = getattr(module, "state_dict", None)
    return state() if callable(state) else {}


def _add(digest: Any, name: str, value: Any) -> int:
    """Hash a value of a state; the number of tensors in it."""
    if isinstance(value, (tuple, list)):  # layers that torch has quantised keep weight and bias together
        return sum(_add(digest, f"{name}.{place}", item) for place, item in enumerate(value))
    if not hasattr(value, "detach"):
        digest.update(f"{name} {value!r}".encode())
        return 0
    if getattr(value, "is_quantized", False):
        # The integers alone say nothing without their scales, and these are in what they stand for.
        value = value.dequantize()
    data = _bytes_of(value)
    digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
    whole = len(data) // 8 * 8
    # Modulo 2 ** 64, so the order of summation does not matter and every machine finds the same sum.
    total = int(np.add.reduce(data[:whole].view(np.uint64), dtype=np.uint64)) if whole else 0
    digest.update(total.to_bytes(8, "little") + data[whole:].tobytes())
    digest.update(data[:: max(1, len(data) // _SAMPLED)].tobytes())
    return 1


def _bytes_of(tensor: Any) -> Any:
    import torch

    # By way of bytes, since numpy has no bfloat16. Nothing is copied where the tensor is in plain memory already.
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return (flat.view(torch.uint8) if flat.numel() else flat.to(torch.uint8)).numpy()


def _settings_of(model: Any) -> Iterator[bytes]:
    prompts = getattr(model, "prompts", None) or {}
    yield str(prompts.get(getattr(model, "default_prompt_name", None))).encode("utf-8", "surrogatepass")
    config: Any = getattr(model, "config", None)
    if hasattr(config, "to_dict"):
        yield _as_json({name: value for name, value in config.to_dict().items() if name not in _ORIGIN})
    # The parts of a sentence-transformers model, such as pooling and the layers after it.
    for part in model if hasattr(model, "__iter__") else ():
        settings = getattr(part, "get_config_dict", None)
        yield f"{type(part).__module__}.{type(part).__qualname__}".encode()
        yield _as_json(settings()) if callable(settings) else b""
    yield from _tokenizer_of(getattr(model, "tokenizer", None))


def _tokenizer_of(tokenizer: Any) -> Iterator[bytes]:
    for name in ("truncation_side", "padding_side", "chat_template"):
        yield str(getattr(tokenizer, name, None)).encode("utf-8", "surrogatepass")
    yield repr(sorted(getattr(tokenizer, "added_tokens_decoder", {}).items())).encode("utf-8", "surrogatepass")
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is not None:
        # Part by part, since padding and truncation change with every call. As each part is pickled: six times as fast
        # as the vocabulary by way of Python.
        for part in (fast.normalizer, fast.pre_tokenizer, fast.model, fast.post_processor):
            yield b"" if part is None else bytes(part.__getstate__())
    elif hasattr(tokenizer, "get_vocab"):
        yield _as_json(tokenizer.get_vocab())


def _as_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()
