"""Faults inside a model: collapse, speaker leakage, codes unlike their prior, dead codes, muddled speakers."""

from voiceae.evaluation.diagnosis.diagnose import Diagnosis, diagnose
from voiceae.evaluation.diagnosis.findings import Finding, Verdict

__all__ = ["Diagnosis", "Finding", "Verdict", "diagnose"]
