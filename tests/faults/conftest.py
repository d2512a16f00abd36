"""What the tests of this folder share."""

from cloning import clone

__all__ = ["clone"]
