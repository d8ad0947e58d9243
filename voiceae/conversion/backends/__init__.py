"""Runtimes that a voice computes with: torch, onnxruntime, and the export from one to the other."""
