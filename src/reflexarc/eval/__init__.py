"""How well a robot acts: situations, what is right in each, and what others would have done."""
