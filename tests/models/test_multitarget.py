"""Judges that tell speakers: padding tells them nothing, and what is there can be learned."""

import torch
from torch.nn import functional

from voiceae.models.multitarget import CodeClassifier, PatchDiscriminator
from voiceae.nn.layers import lengths_to_mask


def test_padding_changes_no_judgement():
    torch.manual_seed(0)
    classifier = CodeClassifier(dim=6, n_speakers=3, channels=8).eval()
    discriminator = PatchDiscriminator(n_mels=6, n_speakers=3, channels=8).eval()
    x, mask = torch.randn(2, 6, 40), lengths_to_mask(torch.tensor([40, 20]), 40)
    torch.testing.assert_close(classifier(x, mask)[1:], classifier(x[1:, :, :20], mask[1:, :20]))
    (together, told), (alone, told_alone) = (
        discriminator(x, mask),
        discriminator(x[1:, :, :20], mask[1:, :20]),
    )
    assert together.scores.shape == (2, 10) and together.mask.sum(-1).tolist() == [10, 5]
    torch.testing.assert_close(together.scores[1, :5], alone.scores[0])
    torch.testing.assert_close(told[1:], told_alone)


def test_both_learn_to_tell_two_voices():
    """Voice is in the deviation alone, so that a mean would not do."""
    torch.manual_seed(0)
    speaker = torch.arange(32) % 2
    x = torch.randn(32, 6, 24) * (1 + 2 * speaker)[:, None, None]
    mask = torch.ones(32, 24, dtype=torch.bool)
    classifier, discriminator = (
        CodeClassifier(dim=6, n_speakers=2, channels=8),
        PatchDiscriminator(n_mels=6, n_speakers=2, channels=8),
    )
    for judge in (lambda: classifier(x, mask), lambda: discriminator(x, mask)[1]):
        weights = [*classifier.parameters(), *discriminator.parameters()]
        optimizer = torch.optim.Adam(weights, lr=1e-2)
        for _ in range(40):
            optimizer.zero_grad()
            functional.cross_entropy(judge(), speaker).backward()
            optimizer.step()
        assert (judge().argmax(-1) == speaker).float().mean() > 0.95
