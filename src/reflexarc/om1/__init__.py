"""OM1's contract, on top of ours: what its plugins for Mistral and Llama share."""
