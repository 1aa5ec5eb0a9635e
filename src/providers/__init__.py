"""Stand-ins, in OM1's shape, for the parts of its package that a plugin touches."""
