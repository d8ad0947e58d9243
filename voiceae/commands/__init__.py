"""One small file a command; nothing heavy is imported before it is needed."""
