"""Raster validation: archived images are opened, and read as far as the mode says, in a child process that may die.

``reading`` runs in the child and tells what it sees; ``judging`` holds that against the inventory, a pure decision;
``checking`` does so for many files and keeps the verdicts; ``rolling`` says which files are due. Nothing here changes a
file or any row but those of table ``validation``.
"""
