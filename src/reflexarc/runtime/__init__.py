"""The robot's loop: what is sensed becomes a prompt, the answer becomes movement."""
