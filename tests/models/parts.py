"""Small models for tests."""

from voiceae.models import (
    VQ,
    Autoencoder,
    ContentEncoder,
    Decoder,
    Gaussian,
    MelPitch,
    NoPitch,
    Open,
    SpeakerEncoder,
)
from voiceae.specs import AudioSpec

BOTTLENECKS = {"open": Open, "gaussian": Gaussian, "vq": VQ}


def small_model(bottleneck: str = "gaussian", pitch: bool = True, **options: object) -> Autoencoder:
    """An autoencoder of a few thousand weights."""
    spec = AudioSpec()
    stream = MelPitch(audio=spec.to_dict()) if pitch else NoPitch()
    if bottleneck == "vq":
        options = {"size": 32, **options}
    return Autoencoder(
        content=ContentEncoder(n_mels=spec.n_mels, channels=32, hidden=64, n_blocks=2),
        bottleneck=BOTTLENECKS[bottleneck](channels=32, dim=8, **options),
        speaker=SpeakerEncoder(n_mels=spec.n_mels, channels=32, hidden=64, n_blocks=2, dim=16),
        pitch=stream,
        decoder=Decoder(
            dim=8,
            speaker_dim=16,
            n_mels=spec.n_mels,
            channels=32,
            hidden=64,
            n_blocks=2,
            pitch_bins=stream.n_bins,
        ),
        n_mels=spec.n_mels,
    )
