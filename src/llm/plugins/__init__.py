"""One file a plugin."""
