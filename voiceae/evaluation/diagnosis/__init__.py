"""What is wrong inside a model: collapse, leakage, codes unlike their prior, dead codebooks, muddled voices."""

from voiceae.evaluation.diagnosis.diagnose import Diagnosis, diagnose
from voiceae.evaluation.diagnosis.verdicts import Finding, Verdict

__all__ = ["Diagnosis", "Finding", "Verdict", "diagnose"]
