"""Which generation runs next, and which servers can run it."""
