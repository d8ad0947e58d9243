"""Signal processing: mels, loudness, activity, pitch and statistics."""
