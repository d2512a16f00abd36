"""``make demo``: a realistic delivery travels through the real stack, and what became of it is explained."""
