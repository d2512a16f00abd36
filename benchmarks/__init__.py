"""How fast the archive is, held against yardsticks that are measured beside it in the same minutes."""
