"""Writes the ONNX graph of a BERT from its weights, without torch."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import numpy as np

from semcache.causes import message_of
from semcache.embedders.folder import ModelFolder
from semcache.errors import ConfigurationError, MissingExtraError
from semcache.models.names import read_json

_OPSET = 17  # the first with layer normalisation, which every onnxruntime that the extra allows knows
_IR_VERSION = 8  # the file format of that time; the onnx package writes newer ones that older runtimes refuse
_ROBERTA = ("roberta", "xlm-roberta")
_ALIGNMENT = 4096  # bytes; a page of memory, at whose beginnings files can be mapped
_SMALL = 1024  # bytes; what is smaller stands in the graph itself
_HIDDEN = -1e9  # added to the score of a padding token before the softmax; exp() of it is zero in float32


def is_bert(folder: ModelFolder) -> bool:
    """Whether ``write_bert`` can make the graph: BERT, RoBERTa or XLM-RoBERTa as they were published.

    Most sentence embedding models are one of these. Raises ConfigurationError for weights that cannot be read, and
    MissingExtraError when safetensors is not installed.
    """
    config = read_json(folder.transformer / "config.json")
    return (
        config.get("model_type") in ("bert", *_ROBERTA)
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
        and weights_type(folder) in ("F32", "F16")
        and _has_usual_names(folder, config["num_hidden_layers"])
    )


def _has_usual_names(folder: ModelFolder, layers: int) -> bool:
    with _opened(folder.transformer / "model.safetensors") as weights:
        names = set(weights.keys())
    prefix = _prefix(names)
    return prefix is not None and f"{prefix}encoder.layer.{layers - 1}.output.LayerNorm.weight" in names


def _prefix(names: Iterable[str]) -> str | None:
    """The prefix of the names of all weights: empty, or the architecture's if the model was trained with a head.

    None if these are not the weights of a BERT.
    """
    first = "embeddings.word_embeddings.weight"
    return next((name.removesuffix(first) for name in names if name.endswith(first)), None)


def weights_type(folder: ModelFolder) -> str | None:
    """The number type of all weights, such as ``"F32"``; None if they differ or are no safetensors file.

    Raises ConfigurationError for a file that cannot be read, and MissingExtraError.
    """
    path = folder.transformer / "model.safetensors"
    if not path.is_file():
        return None
    with _opened(path) as weights:
        # Some models keep positions among their weights, as integers.
        types = {str(weights.get_slice(name).get_dtype()) for name in weights.keys()}  # noqa: SIM118 - not a mapping
    floating = types - {"I64", "I32"}
    return floating.pop() if len(floating) == 1 else None


def write_bert(folder: ModelFolder, path: Path) -> None:
    """Writes a float32 graph from token ids to the last hidden state, as torch computes it. Raises MissingExtraError.

    The weights go to a file of their own beside it, ``model.onnx.data``: onnxruntime maps it into memory, which is four
    times as fast as to read them out of the graph, and shared by all processes.

    Example:
        ``write_bert(read_folder(Path("all-MiniLM-L6-v2")), Path("model.onnx"))`` takes about half a second.
    """
    data = path.with_name(f"{path.name}.data")
    with _opened(folder.transformer / "model.safetensors") as weights, data.open("wb") as file:
        _Graph(read_json(folder.transformer / "config.json"), weights, file).write(path)


def _opened(path: Path) -> Any:
    try:
        safetensors: Any = import_module("safetensors")
    except ImportError as error:
        raise MissingExtraError("safetensors, which reads weights,", "onnx") from error
    try:
        return safetensors.safe_open(path, framework="numpy")
    except (OSError, safetensors.SafetensorError) as error:
        raise ConfigurationError(
            f"{str(path)!r} cannot be read ({message_of(error)}); download the model again"
        ) from error


class _Graph:
    """Nodes and weights of one model, in the order in which they are computed.

    The operations are those of the ONNX standard; onnxruntime recognises their patterns and fuses them.
    """

    def __init__(self, config: Mapping[str, Any], weights: Any, data: IO[bytes]) -> None:
        try:
            self._onnx: Any = import_module("onnx")
        except ImportError as error:
            raise MissingExtraError("onnx, which makes ONNX graphs,", "onnx") from error
        self._config = config
        self._weights = weights
        self._data = data
        self._prefix = _prefix(weights.keys()) or ""
        self._is_roberta = config["model_type"] in _ROBERTA
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def write(self, path: Path) -> None:
        """Computes all layers and saves the graph."""
        hidden = self._embeddings()
        mask = self._mask()
        for layer in range(self._config["num_hidden_layers"]):
            hidden = self._layer(hidden, mask, f"encoder.layer.{layer}.")
        helper, types = self._onnx.helper, self._onnx.TensorProto
        self._nodes.append(helper.make_node("Identity", [hidden], ["last_hidden_state"]))
        names = ("input_ids", "attention_mask", *(() if self._is_roberta else ("token_type_ids",)))
        inputs = [helper.make_tensor_value_info(name, types.INT64, ["batch", "length"]) for name in names]
        shape = ["batch", "length", self._config["hidden_size"]]
        output = helper.make_tensor_value_info("last_hidden_state", types.FLOAT, shape)
        graph = helper.make_graph(self._nodes, "bert", inputs, [output], self._constants)
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        path.write_bytes(model.SerializeToString())

    def _embeddings(self) -> str:
        words = self._op("Gather", self._weight("embeddings.word_embeddings.weight"), "input_ids")
        kinds = self._weight("embeddings.token_type_embeddings.weight")
        # RoBERTa has one kind of token and no input that says it.
        kind = kinds if self._is_roberta else self._op("Gather", kinds, "token_type_ids")
        positions = self._op("Gather", self._weight("embeddings.position_embeddings.weight"), self._positions())
        return self._norm(self._op("Add", self._op("Add", words, kind), positions), "embeddings.LayerNorm")

    def _positions(self) -> str:
        """The position of every token: counted from 0, by RoBERTa from behind its padding token's id."""
        pad = self._config.get("pad_token_id", 1) if self._is_roberta else -1  # no token has the id -1
        is_text = self._op("Not", self._op("Equal", "input_ids", self._constant(np.array(pad))))
        counted = self._op("Cast", is_text, to=self._onnx.TensorProto.INT64)
        place = self._op("Mul", self._op("CumSum", counted, self._constant(np.array(1))), counted)
        return self._op("Add", place, self._constant(np.array(pad)))

    def _mask(self) -> str:
        mask = self._op("Cast", "attention_mask", to=self._onnx.TensorProto.FLOAT)
        hidden = self._op("Sub", self._number(1), self._op("Unsqueeze", mask, self._constant(np.array([1, 2]))))
        return self._op("Mul", hidden, self._number(_HIDDEN))

    def _layer(self, hidden: str, mask: str, name: str) -> str:
        attended = self._dense(self._attention(hidden, mask, f"{name}attention.self."), f"{name}attention.output.dense")
        hidden = self._norm(self._op("Add", attended, hidden), f"{name}attention.output.LayerNorm")
        inner = self._gelu(self._dense(hidden, f"{name}intermediate.dense"))
        return self._norm(self._op("Add", self._dense(inner, f"{name}output.dense"), hidden), f"{name}output.LayerNorm")

    def _attention(self, hidden: str, mask: str, name: str) -> str:
        heads = self._config["num_attention_heads"]
        width = self._config["hidden_size"] // heads
        # Zeros stand for the batch and the length, as they are.
        apart = self._constant(np.array([0, 0, heads, width]))
        query, key, value = (
            self._op("Transpose", self._op("Reshape", self._dense(hidden, f"{name}{part}"), apart), perm=order)
            # The key is turned at once, since its product with the query needs it so.
            for part, order in (("query", (0, 2, 1, 3)), ("key", (0, 2, 3, 1)), ("value", (0, 2, 1, 3)))
        )
        scores = self._op("Mul", self._op("MatMul", query, key), self._number(width**-0.5))
        shares = self._op("Softmax", self._op("Add", scores, mask), axis=-1)
        together = self._op("Transpose", self._op("MatMul", shares, value), perm=(0, 2, 1, 3))
        return self._op("Reshape", together, self._constant(np.array([0, 0, heads * width])))

    def _dense(self, x: str, name: str) -> str:
        # torch keeps the matrix of a dense layer turned.
        product = self._op("MatMul", x, self._constant(self._numbers(f"{name}.weight").T))
        return self._op("Add", product, self._weight(f"{name}.bias"))

    def _gelu(self, x: str) -> str:
        grown = self._op("Add", self._op("Erf", self._op("Div", x, self._number(2**0.5))), self._number(1))
        return self._op("Mul", self._op("Mul", x, grown), self._number(0.5))

    def _norm(self, x: str, name: str) -> str:
        epsilon = self._config.get("layer_norm_eps", 1e-12)
        parts = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._op("LayerNormalization", x, *parts, axis=-1, epsilon=epsilon)

    def _op(self, kind: str, *inputs: str, **attributes: int | float | Sequence[int]) -> str:
        """Adds a node; gives the name of its result."""
        result = f"{kind}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [result], result, **attributes))
        return result

    def _weight(self, name: str) -> str:
        return self._constant(self._numbers(name))

    def _numbers(self, name: str) -> Any:
        return self._weights.get_tensor(self._prefix + name).astype(np.float32, copy=False)

    def _number(self, value: float) -> str:
        return self._constant(np.array(value, dtype=np.float32))

    def _constant(self, values: Any) -> str:
        """Adds a tensor; gives its name."""
        name = f"constant_{len(self._constants)}"
        if values.nbytes < _SMALL:
            self._constants.append(self._onnx.numpy_helper.from_array(np.asarray(values, order="C"), name))
            return name
        self._data.write(bytes(-self._data.tell() % _ALIGNMENT))
        types = self._onnx.TensorProto
        tensor = types(name=name, data_type=types.FLOAT, dims=values.shape, data_location=types.EXTERNAL)
        place = {"location": Path(self._data.name).name, "offset": self._data.tell(), "length": values.nbytes}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        self._data.write(np.ascontiguousarray(values).data)
        self._constants.append(tensor)
        return name
