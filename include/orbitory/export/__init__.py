"""Export from one site to another: what differs is shown first, goes as exactly that, and can be taken back.

1. ``preview`` compares both sites, names the differences by their hash and changes nothing at the other side.
2. ``begin`` takes the hash: the differences are found anew and must be the same. ``copy`` brings over one batch after
   the other, each as a whole; ``finish`` does what comes last and checks. ``run`` is all three; the same call goes on
   after a crash.
3. ``undo`` puts back what stood there before.

Names of this package: *here* is the site that runs it, where rows come from; *there* is the one they go to.
"""

from orbitory.export.compare import Selection
from orbitory.export.ledger import findings, history
from orbitory.export.preview import Preview, preview
from orbitory.export.run import Outcome, begin, copy, finish, run
from orbitory.export.sites import Remote, remote, remotes
from orbitory.export.undo import undo

__all__ = [
    "Outcome",
    "Preview",
    "Remote",
    "Selection",
    "begin",
    "copy",
    "findings",
    "finish",
    "history",
    "preview",
    "remote",
    "remotes",
    "run",
    "undo",
]
