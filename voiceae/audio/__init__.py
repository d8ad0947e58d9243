"""Files, waves and log-mels."""
