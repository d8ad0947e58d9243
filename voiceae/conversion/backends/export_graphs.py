"""What of a model is exported as an ONNX graph, and how it is traced."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from voiceae.conversion.backends.sessions import Stored
from voiceae.dsp.mel_filters import mel_filters
from voiceae.dsp.statistics import match_moments
from voiceae.errors import ModelFileError
from voiceae.models import Autoencoder, BottleneckOutput, Content
from voiceae.specs import AudioSpec
from voiceae.vocoders.sourcefilter import SourceFilter


class Describe(nn.Module):
    """What a reference says of a voice: mel (1, M, T) -> (1, S), (1,), (1, M), (1, M), (1,).

    Args:
        model: the autoencoder, in eval mode.
    """

    inputs = ("mel",)
    outputs = ("speaker", "pitch_centre", "mel_mean", "mel_deviation", "loud_frames")

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, mel: Tensor) -> tuple[Tensor, ...]:
        """Speaker vector, pitch centre in octaves, mean and deviation of the loud frames, and how many those are."""
        traits = self.model.describe(mel)
        loud = traits.active_frames.float()
        return traits.speaker, traits.pitch_centre, traits.mel_mean, traits.mel_deviation, loud


class Encode(nn.Module):
    """What is said, and how high: mel (1, M, T) -> units (1, D, T'), pitch (1, K, T), pitch centre (1,).

    Apart from `Decode`, since a trace keeps no length free that it works out on the way; as an input, that of the units
    is.

    Args:
        model: the autoencoder, in eval mode.
    """

    inputs = ("mel",)
    outputs = ("units", "pitch", "pitch_centre")

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, mel: Tensor) -> tuple[Tensor, ...]:
        """Encode."""
        content = self.model.encode(mel)
        return content.units, content.pitch, content.pitch_centre


class Decode(nn.Module):
    """A content in a voice: units (1, D, T'), pitch (1, K, T) and the voice -> mel (1, M, T).

    Args:
        model: the autoencoder, in eval mode.
    """

    inputs = ("units", "pitch", "speaker", "octaves", "mean", "deviation", "frames", "strength")
    outputs = ("mel",)

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        units: Tensor,
        pitch: Tensor,
        speaker: Tensor,
        octaves: Tensor,
        mean: Tensor,
        deviation: Tensor,
        frames: Tensor,
        strength: Tensor,
    ) -> Tensor:
        """Move the pitch, decode, match the statistics.

        Args:
            units: (1, D, T').
            pitch: (1, K, T).
            speaker: (1, S).
            octaves: (1,) by which the pitch is moved.
            mean: (1, M) of the voice's loud frames.
            deviation: (1, M) of the same.
            frames: (1,) how many those are.
            strength: () how far those are taken on, 0 to 1.
        """
        content = Content(units, BottleneckOutput(units), pitch, octaves)
        converted = self.model.decode(content, speaker, octaves=octaves)
        return match_moments(converted, mean, deviation, frames, strength=strength)  # type: ignore[arg-type]


class Speak(nn.Module):
    """A network vocoder that is one pass: mel (1, M, T) -> wav (1, T * hop_length).

    Args:
        vocoder: with a `generate` that does the whole of a piece at once.
    """

    inputs = ("mel",)
    outputs = ("wav",)

    def __init__(self, vocoder: nn.Module) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(self, mel: Tensor) -> Tensor:
        """Synthesise."""
        wav: Tensor = self.vocoder.generate(mel)  # type: ignore[operator]
        return wav


class ReadPitch(nn.Module):
    """The first network of the toolkit's own vocoder: mel (1, M, T) -> f0 (1, T) Hz.

    Args:
        vocoder: in eval mode.
    """

    inputs = ("mel",)
    outputs = ("f0",)

    def __init__(self, vocoder: SourceFilter) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(self, mel: Tensor) -> Tensor:
        """Read."""
        return self.vocoder.read_pitch(mel)[1]


class Correct(nn.Module):
    """The second one: mel (1, M, T), mel of the harmonics (1, T, M), f0 (1, T) -> three (1, T, F).

    Args:
        vocoder: in eval mode.
    """

    inputs = ("mel", "heard", "f0")
    outputs = ("gain", "share", "phase")

    def __init__(self, vocoder: SourceFilter) -> None:
        super().__init__()
        self.vocoder = vocoder

    def forward(self, mel: Tensor, profile: Tensor, f0: Tensor) -> tuple[Tensor, ...]:
        """Correct the filter, the share of noise and the phase."""
        return self.vocoder.corrections(mel, profile, f0)


_KINDS = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}


def trace(module: nn.Module, example: Sequence[Tensor], dynamic: Mapping[str, int]) -> onnx.ModelProto:
    """Trace a module that names its `inputs` and `outputs`.

    By the exporter that follows a run: the one built on `torch.export` takes forty times as long and needs two more
    packages. What a trace freezes by mistake is found by running the graph at other lengths (`export.check`).

    Args:
        module: in eval mode.
        example: inputs that it is run on.
        dynamic: the axis of free length, by the name of an input or output.

    Raises:
        ModelFileError: when the module does something that ONNX has no operator for.
    """
    assert isinstance(module.inputs, tuple) and isinstance(module.outputs, tuple)
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                tuple(example),
                buffer,  # type: ignore[arg-type]  # its annotation knows paths alone
                dynamo=False,
                opset_version=OPSET,
                input_names=list(module.inputs),
                output_names=list(module.outputs),
                dynamic_axes={name: {axis: f"{name}_length"} for name, axis in dynamic.items()},
                do_constant_folding=False,  # weights keep their names and shapes, and can be found in the file
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelFileError(
            f"{type(module).__name__}: cannot be written as an ONNX graph: {reason}"
        ) from None
    model = onnx.load_from_string(buffer.getvalue())
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "voiceae", ""
    return model


def point_into(model: onnx.ModelProto, prefix: str, name: str, tensors: Mapping[str, Stored]) -> None:
    """Let a graph take its weights from a model file: external data at the tensors' own offsets.

    Half-precision weights are cast by the graph; onnxruntime does that once, when it loads it.

    Args:
        model: changed in place.
        prefix: of the weights' names in the graph.
        name: of the model file.
        tensors: what lies in it.
    """
    casts, kept = [], []
    for initializer in model.graph.initializer:
        stored = tensors.get(initializer.name.removeprefix(prefix))
        same = stored is not None and stored.kind in _KINDS and stored.shape == tuple(initializer.dims)
        if stored is None or not same or not initializer.name.startswith(prefix):
            kept.append(initializer)
            continue
        outside = _external(initializer.name, name, stored)
        if stored.kind == "F16":
            outside.name += ".half"
            casts.append(helper.make_node("Cast", [outside.name], [initializer.name], to=TensorProto.FLOAT))
        kept.append(outside)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def without_docs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what only a reader of the trace wants: source lines, which hold this machine's paths."""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return model


def largest_inside(model: onnx.ModelProto) -> int:
    """Bytes of the largest tensor that is still in the graph itself."""
    inside = [t for t in model.graph.initializer if t.data_location != TensorProto.EXTERNAL]
    return max((np.asarray(numpy_helper.to_array(t)).nbytes for t in inside), default=0)


def _external(name: str, file: str, stored: Stored) -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=_KINDS[stored.kind], dims=stored.shape)
    tensor.data_location = TensorProto.EXTERNAL
    place = {"location": file, "offset": stored.offset, "length": stored.length}
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


OPSET = 18
IR_VERSION = 9  # of opset 18's time; onnxruntime refuses files from its future


def features_graph(spec: AudioSpec) -> onnx.ModelProto:
    """`LogMel` of float32 as a graph.

    The transform is a strided convolution with windowed cosines and sines: as near to the exact result as a fast
    transform in float32, and no slower in onnxruntime than its own STFT operator, which errs ten times as much on the
    weakest bins. The basis has 3 MB at the default spec; the graph works it out when it is loaded, from one turn of a
    cosine and one of a sine in float64.
    """
    weights = mel_filters(spec)
    used = np.flatnonzero(weights.any(axis=0))
    low, high = int(used[0]), int(used[-1]) + 1  # the other bins reach no filter
    nodes = [*_basis(low, high, spec.n_fft), *_framed(spec), *_log_mel()]
    constants = {
        **_tables(spec),
        "filters": weights[:, low:high].T.astype(np.float32),
        "floor": np.float32(spec.log_floor),
        "epsilon": np.float32(spec.magnitude_epsilon),
    }
    graph = helper.make_graph(
        nodes,
        "features",
        [helper.make_tensor_value_info("wav", TensorProto.FLOAT, ["samples"])],
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, [1, spec.n_mels, "frames"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="voiceae"
    )
    onnx.checker.check_model(model)
    return model


def _tables(spec: AudioSpec) -> dict[str, NDArray[Any]]:
    turn = 2 * np.pi * np.arange(spec.n_fft) / spec.n_fft
    return {
        "cosine": np.cos(turn),
        "sine": -np.sin(turn),
        "window": spec.window(),
        "length": np.array(spec.n_fft, np.int64),
        "zero": np.array([0], np.int64),
        "reflected": np.array([spec.padding, spec.padding], np.int64),
        "shortest": np.array([spec.shortest], np.int64),
        "first_two": np.array([0, 1], np.int64),
        "second": np.array([1], np.int64),
    }


def _framed(spec: AudioSpec) -> list[onnx.NodeProto]:
    """Zero-extension of a short wave, reflection, and the strided products with the basis: wav -> parts (1, 2 F, T)."""
    node = helper.make_node
    return [
        node("Shape", ["wav"], ["size"]),
        node("Sub", ["shortest", "size"], ["wanting"]),
        node("Max", ["wanting", "zero"], ["missing"]),
        node("Concat", ["zero", "missing"], ["extension"], axis=0),
        node("Pad", ["wav", "extension"], ["extended"]),
        node("Pad", ["extended", "reflected"], ["padded"], mode="reflect"),
        node("Unsqueeze", ["padded", "first_two"], ["channel"]),
        node("Conv", ["channel", "basis"], ["parts"], strides=[spec.hop_length]),
    ]


def _basis(low: int, high: int, n_fft: int) -> list[onnx.NodeProto]:
    """Windowed cosines, then sines, of bins `low` to `high`: -> basis (2 F, 1, n_fft), constant."""

    def scalar(name: str, value: int) -> onnx.NodeProto:
        return helper.make_node("Constant", [], [name], value_int=value)

    node = helper.make_node
    return [
        *(scalar(name, value) for name, value in (("low", low), ("high", high), ("stop", n_fft))),
        *(scalar(name, value) for name, value in (("start", 0), ("step", 1))),
        node("Range", ["low", "high", "step"], ["bins"]),
        node("Range", ["start", "stop", "step"], ["times"]),
        node("Unsqueeze", ["bins", "second"], ["rows"]),
        node("Mul", ["rows", "times"], ["turns"]),
        node("Mod", ["turns", "length"], ["phase"]),
        node("Gather", ["cosine", "phase"], ["real"]),
        node("Gather", ["sine", "phase"], ["imaginary"]),
        node("Concat", ["real", "imaginary"], ["waves"], axis=0),
        node("Mul", ["waves", "window"], ["windowed"]),
        node("Cast", ["windowed"], ["rounded"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["rounded", "second"], ["basis"]),
    ]


def _log_mel() -> list[onnx.NodeProto]:
    """Magnitudes through the filters: parts (1, 2 F, T) -> mel (1, M, T)."""
    node = helper.make_node
    return [
        node("Mul", ["parts", "parts"], ["squares"]),
        node("Split", ["squares"], ["real_squares", "imaginary_squares"], axis=1, num_outputs=2),
        node("Add", ["real_squares", "imaginary_squares"], ["power"]),
        node("Add", ["power", "epsilon"], ["positive"]),
        node("Sqrt", ["positive"], ["magnitude"]),
        node("Transpose", ["magnitude"], ["frames_first"], perm=[0, 2, 1]),
        node("MatMul", ["frames_first", "filters"], ["mels"]),
        node("Max", ["mels", "floor"], ["clamped"]),
        node("Log", ["clamped"], ["logarithm"]),
        node("Transpose", ["logarithm"], ["mel"], perm=[0, 2, 1]),
    ]
