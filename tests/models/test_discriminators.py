import pytest
import torch

from voiceae.models.discriminators import WaveDiscriminators, wave_adversarial_losses, wave_discriminator_loss


@pytest.fixture
def judges() -> WaveDiscriminators:
    torch.manual_seed(0)
    return WaveDiscriminators(sizes=[256, 512], periods=[2, 3], channels=4)


def waves(kind: str, count: int = 4) -> torch.Tensor:
    torch.manual_seed(7)
    if kind == "noise":
        return 0.3 * torch.randn(count, 4096)
    hertz = 200 + 300 * torch.rand(count, 1)
    return 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(4096) / 22050)


def test_every_judge_scores_patches_of_every_wave(judges: WaveDiscriminators) -> None:
    judged = judges(waves("noise"))
    assert len(judged) == 4
    assert all(each.scores.shape[0] == 4 and len(each.features) == 4 for each in judged)


def test_they_learn_to_tell_noise_from_tones(judges: WaveDiscriminators) -> None:
    optimizer = torch.optim.Adam(judges.parameters(), 2e-3)
    before = float(wave_discriminator_loss(judges, waves("noise"), waves("tone")))
    for _ in range(40):
        optimizer.zero_grad()
        loss = wave_discriminator_loss(judges, waves("noise"), waves("tone"))
        loss.backward()
        optimizer.step()
    assert before > 1.5 and float(loss) < 0.5
    fooled = wave_adversarial_losses(judges, waves("tone"), waves("tone"))
    caught = wave_adversarial_losses(judges, waves("noise"), waves("tone"))
    assert float(fooled["adversarial"]) < 0.5 < float(caught["adversarial"])
    assert float(fooled["feature_matching"]) == pytest.approx(0.0, abs=1e-6)
    assert float(caught["feature_matching"]) > 0.1


def test_the_gradient_reaches_the_wave(judges: WaveDiscriminators) -> None:
    made = waves("noise").requires_grad_()
    sum(wave_adversarial_losses(judges, made, waves("tone")).values()).backward()
    assert float(made.grad.abs().min(dim=1).values.max()) > 0


def test_none_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="give sizes or periods"):
        WaveDiscriminators(sizes=[], periods=[], channels=4)
