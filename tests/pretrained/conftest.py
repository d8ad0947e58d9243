"""The scorers of the evaluation's tests, which answer at once."""

from tests.evaluation.conftest import tone_scorers as tone_scorers
