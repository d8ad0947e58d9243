"""Moonshine tiny-en, a recogniser of English in onnxruntime: the judge of words.

27 M weights, a transformer over the wave itself (Jeffries et al., arXiv 2410.15608); MIT. On native studio speech two
characters of a hundred are wrong, so that what is wrong in a conversion is mostly the conversion's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceae.pretrained.packaged import PackagedFile, open_network

PACKAGE, VERSION = "moonshine-voice", "0.0.45"  # later wheels fetch the weights when they are first used
FOLDER = "moonshine_voice/assets/tiny-en"
ENCODER = PackagedFile(
    PACKAGE,
    VERSION,
    f"{FOLDER}/encoder_model.ort",
    "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
)
DECODER = PackagedFile(
    PACKAGE,
    VERSION,
    f"{FOLDER}/decoder_model_merged.ort",
    "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
)
TOKENIZER = PackagedFile(
    PACKAGE,
    VERSION,
    f"{FOLDER}/tokenizer.bin",
    "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
)

SAMPLE_RATE = 16000
LAYERS, HEADS, HEAD_SIZE = 6, 8, 36
START, END = 1, 2
TOKENS_PER_SECOND = 6.5  # as the published decoder has it: fast speech needs 5, a loop would go on for ever
LEAST_SECONDS = 0.1  # the encoder's strides need more than a frame
PIECE_SECONDS = (
    8.0,
    15.0,
)  # a long clip is cut at its quietest place between these; training clips were 4 to 30 s
PAUSE_SECONDS = 0.2  # what counts as quiet is the power over this long
SILENCE_DB = -70.0  # below full scale; at less the encoder, which levels its input, would listen to rounding


class Moonshine:
    """Recognises English words, greedily, token by token, with the keys and values of earlier tokens kept.

    Args:
        threads: that onnxruntime computes with.

    Raises:
        ConfigError: when the package with the network is not installed.
    """

    version = f"moonshine-tiny-en-{VERSION}"

    def __init__(self, threads: int = 1) -> None:
        self._tokens = read_tokens(TOKENIZER.find().read_bytes())
        self._encoder = open_network(ENCODER, threads)
        self._decoder = open_network(DECODER, threads)
        self._outputs = [each.name for each in self._decoder.get_outputs()]

    def score(self, wav: NDArray[np.float32]) -> dict[str, Any]:
        """Recognise the words, as a scorer of evaluation: (N,) at 16 kHz -> `transcript`."""
        return {"transcript": self.transcribe(wav)}

    def transcribe(self, wav: NDArray[np.float32]) -> str:
        """Recognise the words of a wave of any length: (N,) at 16 kHz -> possibly empty text."""
        heard = (self._transcribe_piece(piece) for piece in split_at_pauses(wav))
        return " ".join(text for text in heard if text)

    def _transcribe_piece(self, wav: NDArray[np.float32]) -> str:
        seconds = len(wav) / SAMPLE_RATE
        if seconds < LEAST_SECONDS or 10 * np.log10(np.mean(wav**2) + 1e-20) < SILENCE_DB:
            return ""
        samples = wav[None].astype(np.float32)
        mask = np.ones(samples.shape, np.int64)
        features = self._encoder.run(None, {"input_values": samples, "attention_mask": mask})[0]
        return self.text(self._decode(features, limit=max(1, int(seconds * TOKENS_PER_SECOND))))

    def _decode(self, features: NDArray[np.float32], limit: int) -> list[int]:
        """The likeliest token, again and again, until the end or the limit: (1, T, 288) -> tokens."""
        empty = np.zeros((1, HEADS, 0, HEAD_SIZE), np.float32)
        cache = {
            f"past_key_values.{layer}.{side}.{kind}": empty
            for layer in range(LAYERS)
            for side in ("decoder", "encoder")
            for kind in ("key", "value")
        }
        # The mask counts samples, of which the graph takes every 384th, and it has room for 9.2 s of them only; one
        # column of ones stands for all.
        fixed = {"encoder_hidden_states": features, "encoder_attention_mask": np.ones((1, 1), np.int64)}
        tokens = [START]
        while len(tokens) <= limit:
            inputs = {
                "input_ids": np.array([tokens[-1:]], np.int64),
                "use_cache_branch": np.array([len(tokens) > 1]),
            }
            found = dict(
                zip(self._outputs, self._decoder.run(None, {**fixed, **inputs, **cache}), strict=True)
            )
            token = int(found["logits"][0, -1].argmax())
            if token == END:
                break
            tokens.append(token)
            for name in cache:
                # Keys and values of the clip itself come with the first token; with a cache there are none.
                if "decoder" in name or len(tokens) == 2:
                    cache[name] = found[name.replace("past_key_values", "present")]
        return tokens[1:]

    def text(self, tokens: list[int]) -> str:
        """Text of tokens, without those that only steer: ids -> text."""
        pieces = [self._tokens[token] for token in tokens]
        spoken = (
            each for each in pieces if not (each.startswith(b"<") and each.endswith(b">") and len(each) > 2)
        )
        # SentencePiece writes a space as U+2581.
        return b"".join(spoken).decode("utf-8", "replace").replace("\u2581", " ").strip()


def read_tokens(data: bytes) -> list[bytes]:
    """Byte strings of a vocabulary, each after its length: one byte, or two from 128 on, low bits first."""
    tokens, place = [], 0
    while place < len(data):
        length, place = data[place], place + 1
        if length >= 128:
            length, place = length - 128 + 128 * data[place], place + 1
        tokens.append(data[place : place + length])
        place += length
    return tokens


def split_at_pauses(wav: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Pieces of at most 15 s, cut where it is quietest: (N,) -> [(N1,), (N2,), ...]."""
    shortest, longest = (round(seconds * SAMPLE_RATE) for seconds in PIECE_SECONDS)
    pieces, span = [], round(PAUSE_SECONDS * SAMPLE_RATE)
    while len(wav) > longest:
        sums = np.cumsum(np.square(wav[shortest:longest], dtype=np.float64))
        cut = shortest + span // 2 + int((sums[span:] - sums[:-span]).argmin())
        pieces.append(wav[:cut])
        wav = wav[cut:]
    return [*pieces, wav]
