"""How reflexarc compares with what else asks models for actions: ``make bench``."""
