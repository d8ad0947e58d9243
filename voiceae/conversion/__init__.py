"""From a model file to a converted voice: `Voice` and what it stands on."""
