"""What is wrong inside a model: collapse, leakage, codes unlike their prior, dead codebooks, muddled voices."""

from voiceae.metrics.diagnosis.run import Diagnosis, diagnose
from voiceae.metrics.diagnosis.verdicts import Finding, Verdict

__all__ = ["Diagnosis", "Finding", "Verdict", "diagnose"]
