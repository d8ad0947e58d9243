"""A table of voices: rows by number, and by ear."""

import pytest
import torch

from tests.systems import SPEAKERS, require_padding_to_change_nothing, small_system, speechlike
from voiceae.models import SpeakerTable


def test_a_padded_batch_gives_what_each_gives_alone():
    require_padding_to_change_nothing(small_system("multitarget"))


def test_a_recording_is_embedded_as_the_row_of_whom_it_sounds_like():
    table, mel = small_system("multitarget").speaker.eval(), speechlike(4, 60)
    logits = table.recognise(mel)
    assert logits.shape == (4, SPEAKERS)
    torch.testing.assert_close(table(mel), table.lookup(logits.argmax(-1)), atol=0, rtol=0)
    # Once a name lies where a recording is heard, that recording is of that speaker.
    with torch.no_grad():
        table.names[2] = table.recogniser(mel)[3]
    torch.testing.assert_close(table(mel)[3], table.lookup(torch.tensor(2)))


def test_reconstruction_teaches_the_rows_that_were_used_and_not_the_recogniser():
    model = small_system("multitarget")
    mel = speechlike(1, 30)
    model.decode(model.encode(mel), model.speaker.lookup(torch.tensor([1]))).square().mean().backward()
    assert (model.speaker.rows.grad.abs().sum(-1) > 0).tolist() == [False, True, False]
    assert all(weight.grad is None for weight in model.speaker.recogniser.parameters())


def test_an_empty_table_is_refused():
    with pytest.raises(ValueError, match="n_speakers 0"):
        SpeakerTable(n_speakers=0, dim=4, recogniser=small_system("multitarget").speaker.recogniser)
