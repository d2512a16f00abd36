"""Product generation: what is due (planner), how it is run (runner), and what it was made from."""
