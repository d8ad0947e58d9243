"""Audio files in and out, file formats, atomic writing, locks and the model file; no torch at import."""
