"""reflexarc: the shortest path from what a robot senses to what it does, through a language model."""
