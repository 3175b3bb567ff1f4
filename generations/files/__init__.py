"""Where files lie, what may become an input, and how their owner gets them."""
