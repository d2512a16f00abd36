"""How much may be wrong before storage itself is to blame, and nothing is done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Beyond these nothing is done by itself: a person must look."""

    #: Fraction of the files, of a partition and of the archive: 0.01 is one of a hundred.
    share: float = 0.01
    #: Where one file is more than a hundredth, so few are acted on, unless they are most of the files there are.
    few: int = 10

    def exceeded(self, here: int, of: int, everywhere: int, archive: int) -> bool:
        """Whether ``here`` findings of ``of`` files of a partition, ``everywhere`` of ``archive``, are too many.

        A partition of a handful of files may lose all of them: there most is no sign of anything.

        >>> counts = (1, 10, 1, 99), (6, 10, 6, 99), (3, 3, 3, 99), (5, 9, 5, 9), (10, 2_000, 900, 9_000)
        >>> [Limits().exceeded(*each) for each in counts]
        [False, True, False, True, True]
        >>> just_not = (6, 12, 6, 99), (3, 4, 3, 99), (4, 9, 4, 99), (10, 500, 10, 5_000)
        >>> [Limits().exceeded(*each) for each in just_not], Limits().exceeded(11, 1_000, 11, 9_999)
        ([False, False, False, False], True)
        >>> Limits(few=0).exceeded(1, 10, 1, 1_000), Limits().exceeded(11, 1_100, 11, 1_100)
        (True, False)
        """
        return self._many(here, of, self.few / 2) or self._many(everywhere, archive, -1)

    def _many(self, count: int, of: int, handful: float) -> bool:
        return count > self.share * of and (count > self.few or 2 * count > of > handful)


LIMITS = Limits()
