"""The model, its mel and its vocoder as graphs that onnxruntime runs, on one core and without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.conversion.backends.base import EncodedSpeech, Floats
from voiceae.conversion.backends.manifest import (
    Manifest,
    read_graph,
    read_manifest,
    read_weights,
    weights_path,
)
from voiceae.conversion.speaker_profile import Embedding, MelStatistics, SpeakerProfile, pool_timbre
from voiceae.dsp.activity import MIN_PITCH_CONFIDENCE
from voiceae.dsp.spectrum import fourier_basis, noise_spectra, reached_bins
from voiceae.errors import ConfigError, ExportError

_FATAL_ONLY = 4  # onnxruntime's severity of messages; what fails is raised as well
_NO_STATISTICS = 0.0  # frames that unknown statistics come from: they are then trusted by nothing


class OnnxBackend:
    """An exported model, and an exported vocoder.

    Args:
        graphs: of the model.
        vocoder: of the same mel contract; needed to `vocode` only.

    Raises:
        SpecMismatchError: when the vocoder has another mel contract.
    """

    runtime = "onnx"
    whole_seconds = 1800.0  # a recording goes through the network whole, at some 0.2 MB a second

    def __init__(self, graphs: ExportedGraphs, vocoder: ExportedVocoder | None = None) -> None:
        manifest = graphs.manifest
        if vocoder is not None:
            manifest.spec.require_same(vocoder.spec, ours="model", theirs="vocoder")
        self.spec, self.name, self.fingerprint = manifest.spec, manifest.name, manifest.checksum
        self.matching = float(manifest.values["matching"])
        self.embedding_size = int(manifest.values["embedding_size"])
        self.reads_pitch = bool(manifest.values["reads_pitch"])
        self.timbre_dim = int(manifest.values.get("timbre_dim", 0))  # older exports look up none
        self._graphs, self._vocoder = graphs, vocoder
        self._basis = fourier_basis(self.spec, reached_bins(self.spec))

    def features(self, wav: Floats) -> Floats:
        """Log-mel of a wave, with frames up to its last sample: (N,) -> (M, T)."""
        wav = np.pad(wav, (0, self.spec.pad_to_hop(len(wav))))
        return self._graphs.run("features", wav=wav, basis=self._basis)["mel"][0]

    def embed(self, mel: Floats) -> Embedding:
        """Speaker embedding of a reference: mel (M, T) -> (S,), unit length."""
        return self._graphs.run("describe", mel=mel[None])["speaker"][0]

    def describe(self, mel: Floats) -> SpeakerProfile:
        """All that a conversion needs of a reference, but for the covariance: mel (M, T) -> profile."""
        found = self._graphs.run("describe", mel=mel[None])
        mean, deviation = found["mel_mean"][0], found["mel_deviation"][0]
        statistics = MelStatistics(mean, deviation, float(found["active_frames"][0]))
        timbre = pool_timbre([(1.0, found["timbre"][0] if self.timbre_dim else None)])
        return SpeakerProfile(found["speaker"][0], _known_centre(found), statistics, timbre)

    def encode(self, mel: Floats) -> EncodedSpeech:
        """What is said: mel (M, T) -> units and pitch."""
        found = self._graphs.run("encode", mel=mel[None])
        return EncodedSpeech(found["units"], found["pitch"], _known_centre(found))

    def decode(self, speech: EncodedSpeech, profile: SpeakerProfile, matching: float) -> Floats:
        """Say it in a voice, with the voice's mean and deviation of every bin: -> mel (M, T)."""
        n_mels, statistics = self.spec.n_mels, profile.mel_statistics
        if statistics is None:
            blank = np.zeros(n_mels, np.float32), np.ones(n_mels, np.float32)
            statistics = MelStatistics(*blank, _NO_STATISTICS)
        octaves = 0.0
        if profile.pitch_centre is not None and speech.pitch_centre is not None:
            octaves = profile.pitch_centre - speech.pitch_centre
        timbre = np.zeros((0, self.timbre_dim), np.float32) if profile.timbre is None else profile.timbre
        return self._graphs.run(
            "decode",
            units=speech.units,
            pitch=speech.pitch,
            speaker=profile.embedding[None],
            octaves=np.array([octaves], np.float32),
            mean=statistics.mean[None],
            deviation=statistics.deviation[None],
            frames=np.array([statistics.frames], np.float32),
            strength=np.array(matching, np.float32),
            timbre=timbre[None],
        )["mel"][0]

    def vocode(self, mel: Floats) -> Floats:
        """Log-mel to wave: (M, T) -> (T * hop_length,)."""
        assert self._vocoder is not None, "made without a vocoder"
        return self._vocoder(mel)


def _known_centre(found: dict[str, Floats]) -> float | None:
    """Where the pitch is, octaves; None where it cannot be relied on."""
    reliable = found["pitch_confidence"][0] >= MIN_PITCH_CONFIDENCE
    return float(found["pitch_centre"][0]) if reliable else None


class ExportedVocoder:
    """A vocoder as one graph: mel (M, T) -> wav (T * hop_length,).

    Long mels go through it in pieces, with so much around each as the network looks at. One that sums up a phase from
    frame to frame is told it at the start of every piece, and says what it comes to.

    Args:
        graphs: of kind "vocoder".
    """

    def __init__(self, graphs: ExportedGraphs) -> None:
        self.spec = graphs.manifest.spec
        self._graphs = graphs
        self._piece = int(graphs.manifest.values["piece_frames"])
        self._context = int(graphs.manifest.values["context_frames"])
        self._constants: dict[str, Floats] = {}
        if graphs.manifest.values["design"] == "sourcefilter":
            # An export from before there were wider bands does not say: its band was the mel's.
            bins = int(graphs.manifest.values.get("bins", reached_bins(self.spec)))
            basis, noise = fourier_basis(self.spec, bins), noise_spectra(self.spec, bins)
            self._constants = {"basis": basis, "noise": noise}

    def __call__(self, mel: Floats) -> Floats:
        """Synthesise: (M, T) -> (T * hop_length,)."""
        frames, samples = mel.shape[1], self.spec.samples
        wav = np.empty(samples(frames), np.float32)
        turns: NDArray[Any] = np.zeros(1)  # float64: phases grow with the recording
        for start in range(0, frames, self._piece):
            stop = min(start + self._piece, frames)
            low, high = max(0, start - self._context), min(frames, stop + self._context)
            found = self._graphs.run(
                "vocoder",
                mel=np.ascontiguousarray(mel[None, :, low:high]),
                first=np.array([low]),
                anchor=np.array([start - low]),
                turns=turns,
                **self._constants,
            )
            wav[samples(start) : samples(stop)] = found["wav"][0, samples(start - low) : samples(stop - low)]
            if "phase" in found:
                turns = found["phase"][:, min(stop, high - 1) - low]
        return wav


class ExportedGraphs:
    """An export folder, its graphs ready to run.

    Args:
        folder: that `voiceae export` wrote.
        kind: what it must be, "autoencoder" or "vocoder".

    Raises:
        ExportError: when it is damaged, its model file is missing or another, or onnxruntime cannot run it.
        ConfigError: when onnxruntime is not installed.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self._runtime = require_onnxruntime()
        self.folder = folder
        self.manifest: Manifest = read_manifest(folder, kind)
        self._weights = read_weights(weights_path(folder, self.manifest), self.manifest.checksum)
        self._sessions = {name: self._open(name) for name in self.manifest.graphs}

    def run(self, graph: str, **inputs: NDArray[Any]) -> dict[str, Floats]:
        """Outputs of a graph, by name.

        Args:
            graph: its name.
            inputs: by name; those that the graph has no use for are left out.

        Raises:
            ExportError: when the graph cannot take them.
        """
        session = self._sessions[graph]
        wanted = {each.name for each in session.get_inputs()}
        given = {name: value for name, value in inputs.items() if name in wanted}
        names = [each.name for each in session.get_outputs()]
        try:
            return dict(zip(names, session.run(names, given), strict=True))
        except Exception as error:  # onnxruntime raises a family of its own that shares no base class
            raise ExportError(
                f"{self.manifest.name}: {graph}.onnx failed ({_first_line(error)}); export the model again"
            ) from None

    def _open(self, graph: str) -> Any:
        """One thread: a call is worth less than 0.1 s, where a second one costs more than it saves."""
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL_ONLY
        # Optimising a graph means that onnxruntime casts and transposes its weights for good: 0.2 s for the bundled
        # model, against 0.01 s a call for doing so anew every time. A convolutional vocoder's work makes up for it.
        if self.manifest.values.get("design") != "network":
            options.graph_optimization_level = self._runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_external_initializers_from_files_in_memory(
            [self.manifest.weights], [self._weights], [len(self._weights)]
        )
        data = read_graph(self.folder, self.manifest, graph)
        try:
            return self._runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ExportError(
                f"{self.folder}: onnxruntime {self._runtime.__version__} cannot run {graph}.onnx "
                f"({_first_line(error)}); export the model again, or install a newer onnxruntime"
            ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def require_onnxruntime() -> Any:
    """The module.

    Raises:
        ConfigError: when it is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError("runtime onnx: onnxruntime is not installed; pip install onnxruntime") from None
    return onnxruntime
