"""The second copy: files of chosen product types stand once more, in a mirror on another file system.

``copying`` brings the mirrors up to date after ingest and removal, ``repairing`` lets an agreeing copy take the place
of a missing or damaged file, ``place`` is what a mirror must be able to do.
"""
