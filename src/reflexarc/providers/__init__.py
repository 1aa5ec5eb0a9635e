"""One file a provider; what they share is a dialect, a transport and `ChatLLM`."""
