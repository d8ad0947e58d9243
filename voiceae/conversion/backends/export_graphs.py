"""What of a model is exported as ONNX graphs: functions of its modules, traced, with the weights left in their file."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn
from torch.nn import functional

from voiceae.conversion.backends.manifest import Stored
from voiceae.dsp.spectrum import fourier_basis, mel_filters, noise_spectra, reached_bins
from voiceae.dsp.statistics import match_moments
from voiceae.errors import ModelFileError
from voiceae.models import Autoencoder, BottleneckOutput, Content, Timbre
from voiceae.specs import AudioSpec
from voiceae.vocoders.base import Vocoder
from voiceae.vocoders.excitation import ShortTimeTransform
from voiceae.vocoders.sourcefilter import SourceFilter

OPSET = 18  # of 2022, so that runtimes of these years read it
IR_VERSION = 9  # of opset 18's time; onnxruntime refuses files from its future
_EXAMPLE_FRAMES = 127  # of the run that is followed; a multiple of nothing
_QUIET = -5.0  # natural-log mel of the example


class MatrixTransform(ShortTimeTransform):
    """`ShortTimeTransform` in operators that ONNX has: products of folded frames with a basis.

    As near to the exact result as a fast transform in float32. On one core onnxruntime needs 0.7 ms for a second of
    audio at the default spec; its own STFT takes twice as long, and errs ten times as much on the weakest bins.

    Args:
        spec: the mel contract.
        basis: (2, n_fft // 2 + 1, F), what `fourier_basis` gives. It is an input of the graphs, since it has 1.5 MB and
            whoever runs them works it out in 2 ms.
    """

    def __init__(self, spec: AudioSpec, basis: Tensor) -> None:
        super().__init__(spec, basis.shape[2])
        self.cosine, self.sine = basis.unbind()
        self.folded = spec.n_fft // 2 + 1

    def forward(self, wave: Tensor) -> Tensor:
        """Analyse: (B, (T - 1) * hop + n_fft) -> (2, B, T, F)."""
        hop, overlap = self.spec.hop_length, self.spec.overlap
        rows = functional.pad(wave, (0, overlap * hop - self.spec.n_fft)).reshape(len(wave), -1, hop)
        count = rows.shape[1] - overlap + 1
        frames = torch.cat([rows[:, shift : shift + count] for shift in range(overlap)], dim=2)
        return self.spectra(frames[..., : self.spec.n_fft] * self.window)

    def spectra(self, frames: Tensor) -> Tensor:
        """Transform of windowed frames: (B, T, n_fft) -> (2, B, T, F)."""
        mirrored = torch.cat((frames[..., :1], frames[..., 1:].flip(-1)), dim=-1)[..., : self.folded]
        first = frames[..., : self.folded]
        own_mirror = 2 * torch.arange(self.folded) % self.spec.n_fft == 0
        even = (first + mirrored) * torch.where(own_mirror, 0.5, 1.0)
        return torch.stack((even @ self.cosine, (mirrored - first) @ self.sine))

    def frames(self, spectra: Tensor) -> Tensor:
        """Its inverse: (2, B, T, F) -> (B, T, n_fft)."""
        # Every bin stands for its mirror too, but for those that are their own.
        own_mirror = 2 * torch.arange(self.bins) % self.spec.n_fft == 0
        scaled = spectra * (torch.where(own_mirror, 1.0, 2.0) / self.spec.n_fft)
        even, odd = scaled[0] @ self.cosine.T, scaled[1] @ self.sine.T
        return torch.cat((even - odd, (even + odd)[..., 1 : (self.spec.n_fft + 1) // 2].flip(-1)), dim=-1)


class FeatureExtractor(nn.Module):
    """`LogMel` of float32 for tracing: wav (N,) of whole hops, and the basis -> mel (1, M, T).

    Args:
        spec: the mel contract.
    """

    filters: Tensor

    def __init__(self, spec: AudioSpec) -> None:
        super().__init__()
        self.spec, self.bins = spec, reached_bins(spec)
        self.register_buffer("filters", torch.tensor(mel_filters(spec)[:, : self.bins].T).float())

    def forward(self, wav: Tensor, basis: Tensor) -> Tensor:
        """Log-mel of a wave: (N,) -> (1, M, T)."""
        spec = self.spec
        padded = functional.pad(wav[None, None], (spec.padding, spec.padding), mode="reflect")[0]
        real, imaginary = MatrixTransform(spec, basis)(padded).unbind()
        magnitude = (real.square() + imaginary.square() + spec.magnitude_epsilon).sqrt()
        return (magnitude @ self.filters).clamp_min(spec.log_floor).log().transpose(1, 2)


@dataclass(frozen=True)
class Graph:
    """A function of a module that becomes a graph; its inputs and outputs are known by name.

    Attributes:
        module: in eval mode.
        run: (module, *inputs) -> outputs.
        inputs: an example of each, whose run is followed.
        outputs: their names.
        free: the axis of free length, of inputs and outputs that have one.
    """

    module: nn.Module
    run: Callable[..., Tensor | tuple[Tensor, ...]]
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    free: dict[str, int]


def model_graphs(model: Autoencoder, spec: AudioSpec) -> dict[str, Graph]:
    """What a conversion runs of a model, by the name of the graph.

    Encoding and decoding are apart, since a trace keeps no length free that it works out on the way; as an input, that
    of the units is.
    """
    n_mels = spec.n_mels
    basis = torch.from_numpy(fourier_basis(spec, reached_bins(spec)).copy())
    noise = torch.Generator().manual_seed(0)
    mel = torch.randn(1, n_mels, _EXAMPLE_FRAMES, generator=noise) + _QUIET
    with torch.no_grad():
        units, pitch, *_ = encode(model, mel)
        speaker, tokens = model.embed(mel), model.timbre_of(mel).tokens
    voice = {
        "octaves": torch.full((1,), 0.2),
        "mean": torch.full((1, n_mels), _QUIET),
        "deviation": torch.ones(1, n_mels),
        "frames": torch.full((1,), 100.0),
        "strength": torch.tensor(1.0),
    }
    # A model that looks up no frames has neither the output nor the input.
    timbre = {"timbre": tokens} if model.timbre.dim else {}
    centre = ("pitch_centre", "pitch_confidence")
    return {
        "features": Graph(
            FeatureExtractor(spec),
            FeatureExtractor.forward,
            {"wav": torch.zeros(spec.samples(_EXAMPLE_FRAMES)), "basis": basis},
            ("mel",),
            {"wav": 0, "mel": 2},
        ),
        "describe": Graph(
            model,
            describe,
            {"mel": mel},
            ("speaker", *centre, "mel_mean", "mel_deviation", "active_frames", *timbre),
            {"mel": 2, **dict.fromkeys(timbre, 1)},
        ),
        "encode": Graph(
            model, encode, {"mel": mel}, ("units", "pitch", *centre), {"mel": 2, "units": 2, "pitch": 2}
        ),
        "decode": Graph(
            model,
            decode,
            {"units": units, "pitch": pitch, "speaker": speaker, **voice, **timbre},
            ("mel",),
            {"units": 2, "pitch": 2, "mel": 2, **dict.fromkeys(timbre, 1)},
        ),
    }


def vocoder_graph(vocoder: Vocoder) -> Graph:
    """A vocoder as one graph: a network that is one pass, or the source-filter chain of a window.

    Raises:
        ModelFileError: for one that is neither.
    """
    spec = vocoder.spec
    mel = torch.full((1, spec.n_mels, _EXAMPLE_FRAMES), _QUIET)
    if isinstance(vocoder, SourceFilter):
        inputs = {
            "mel": mel,
            "first": torch.tensor([3]),
            "anchor": torch.tensor([2]),
            "turns": torch.zeros(1, dtype=torch.float64),
            "noise": torch.from_numpy(noise_spectra(spec, vocoder.bins)),
            "basis": torch.from_numpy(fourier_basis(spec, vocoder.bins).copy()),
        }
        lengths = {"mel": 2, "wav": 1, "phase": 1}
        return Graph(copy.deepcopy(vocoder), speak, inputs, ("wav", "phase"), lengths)
    if type(vocoder).generate is Vocoder.generate:
        raise ModelFileError(
            f"{vocoder.name}: {type(vocoder).__name__} cannot be exported; it is not one network"
        )
    return Graph(vocoder, type(vocoder).generate, {"mel": mel}, ("wav",), {"mel": 2, "wav": 1})


def describe(model: Autoencoder, mel: Tensor) -> tuple[Tensor, ...]:
    """What a reference says of a voice: mel (1, M, T) -> (1, S), (1,), (1,), (1, M), (1, M), (1,), (1, K, E).

    Speaker vector, pitch centre in octaves and its confidence, mean and deviation of the active frames, how many those
    are, and frames to look up, where the model does.
    """
    traits = model.describe(mel)
    assert traits.pitch_confidence is not None
    pitch = traits.pitch_centre, traits.pitch_confidence
    moments = traits.mel_mean, traits.mel_deviation, traits.active_frames.float()
    assert traits.timbre is not None
    return traits.speaker, *pitch, *moments, *((traits.timbre.tokens,) if model.timbre.dim else ())


def encode(model: Autoencoder, mel: Tensor) -> tuple[Tensor, ...]:
    """What is said, and how high: mel (1, M, T) -> (1, D, T'), (1, K, T), (1,), (1,).

    Units, pitch, pitch centre in octaves and its confidence.
    """
    content = model.encode(mel)
    assert content.pitch_confidence is not None
    return content.units, content.pitch, content.pitch_centre, content.pitch_confidence


def decode(
    model: Autoencoder,
    units: Tensor,
    pitch: Tensor,
    speaker: Tensor,
    octaves: Tensor,
    mean: Tensor,
    deviation: Tensor,
    frames: Tensor,
    strength: Tensor,
    timbre: Tensor | None = None,
) -> Tensor:
    """Move the pitch, decode, match the moments: -> mel (1, M, T).

    Args:
        model: the network.
        units: (1, D, T').
        pitch: (1, K, T).
        speaker: (1, S).
        octaves: (1,) by which the pitch is moved.
        mean: (1, M) of the voice's active frames.
        deviation: (1, M) of the same.
        frames: (1,) how many those are.
        strength: () how far those are taken on, 0 to 1.
        timbre: (1, K, E) frames to look up, K may be 0; None for a model that does not.
    """
    content = Content(units, BottleneckOutput(units), pitch, octaves)
    given = None if timbre is None else Timbre(timbre)
    converted = model.decode(content, speaker, timbre=given, octaves=octaves)
    return match_moments(converted, mean, deviation, frames, strength=strength)  # type: ignore[arg-type]


def speak(
    vocoder: SourceFilter,
    mel: Tensor,
    first: Tensor,
    anchor: Tensor,
    turns: Tensor,
    noise: Tensor,
    basis: Tensor,
) -> tuple[Tensor, Tensor]:
    """`SourceFilter.speak` in operators that ONNX has: mel (1, M, T) -> wav (1, T * hop), phase (1, T).

    Args:
        vocoder: a copy, whose noise and transform are exchanged.
        mel: natural log.
        first: (1,) number of the window's first frame.
        anchor: (1,) place of a frame whose phase is known.
        turns: (1,) that phase, float64.
        noise: what `noise_spectra` gives.
        basis: what `fourier_basis` gives.
    """
    vocoder.excitation.noise = noise
    vocoder.excitation.transform = MatrixTransform(vocoder.spec, basis)
    return vocoder.speak(mel, first, anchor, turns)


_KINDS = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}
WEIGHTS = "module."
"""What the names of a module's weights begin with in its graph."""


class _Traced(nn.Module):
    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.module, self._run = graph.module, graph.run

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self._run(self.module, *inputs)


def trace(graph: Graph) -> onnx.ModelProto:
    """Trace a function.

    By the exporter that follows a run: the one built on `torch.export` takes forty times as long and needs two more
    packages. What a trace freezes by mistake is found by running the graph at other lengths before it is let out.

    Raises:
        ModelFileError: when it does something that ONNX has no operator for.
    """
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Traced(graph).eval(),
                tuple(graph.inputs.values()),
                buffer,  # type: ignore[arg-type]  # its annotation knows paths alone
                dynamo=False,
                opset_version=OPSET,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                dynamic_axes={name: {axis: f"{name}_length"} for name, axis in graph.free.items()},
                do_constant_folding=False,  # weights keep their names and shapes, and can be found in the file
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelFileError(
            f"{type(graph.module).__name__}: cannot be written as an ONNX graph: {reason}"
        ) from None
    model = onnx.load_from_string(buffer.getvalue())
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "voiceae", ""
    # What only a reader of the trace wants goes: lines of source, with this machine's paths.
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return model


def point_into(model: onnx.ModelProto, name: str, tensors: Mapping[str, Stored]) -> None:
    """Let a graph take its weights from a model file: external data at the tensors' own offsets.

    Half-precision weights are cast by the graph; onnxruntime does that once, when it loads it.

    Args:
        model: changed in place.
        name: of the model file.
        tensors: what lies in it.
    """
    casts, kept = [], []
    for initializer in model.graph.initializer:
        stored = tensors.get(initializer.name.removeprefix(WEIGHTS))
        same = stored is not None and stored.kind in _KINDS and stored.shape == tuple(initializer.dims)
        if stored is None or not same or not initializer.name.startswith(WEIGHTS):
            kept.append(initializer)
            continue
        outside = TensorProto(name=initializer.name, data_type=_KINDS[stored.kind], dims=stored.shape)
        outside.data_location = TensorProto.EXTERNAL
        place = {"location": name, "offset": stored.offset, "length": stored.length}
        for key, value in place.items():
            outside.external_data.add(key=key, value=str(value))
        if stored.kind == "F16":
            outside.name += ".half"
            casts.append(helper.make_node("Cast", [outside.name], [initializer.name], to=TensorProto.FLOAT))
        kept.append(outside)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
