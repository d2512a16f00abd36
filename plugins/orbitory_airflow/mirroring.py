"""What the DAG `mirror` does in Airflow."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException

from orbitory_airflow.auditing import results_of
from orbitory_airflow.runtime import link_to, open_run

log = logging.getLogger(__name__)

#: Its slots are apart from those of live data; made by bin/private_stack and deploy/initialise.sh.
POOL = "backfill"
#: More need not leave a task: the findings hold all.
_SHOWN = 20
MIRROR_LABEL = "{{ task.op_kwargs['name'] }}"


def which() -> list[str]:
    """The mirrors that there should be."""
    from orbitory.mirror.figures import mirrors_of

    with open_run() as site:
        return list(mirrors_of(site))


def copy(name: str) -> dict[str, Any]:
    """Bring one mirror up to date; what is wrong with it is told by the report."""
    from orbitory.errors import ConfigurationError, IntegrityError
    from orbitory.mirror.copying import Mirrored, mirror

    with open_run() as site:
        try:
            done = mirror(site, name).as_dict()
        except (ConfigurationError, IntegrityError) as error:
            done = Mirrored(mirror=name, problem=str(error)).as_dict()
    counts = {"bads": len(done["bad"]), "failures": len(done["failed"])}
    return {**done, **counts, "bad": done["bad"][:_SHOWN], "failed": done["failed"][:_SHOWN]}


def report() -> dict[str, int]:
    """Give the verdict: red when copies are wanted and could not be made."""
    from orbitory.mirror import notice

    context = get_current_context()
    wanted: Sequence[str] | None = context["ti"].xcom_pull(task_ids="which")
    done = results_of(context["ti"], "copy") if wanted else []
    troubles = [(f"mirror {one['mirror']}", one["problem"]) for one in done if one["problem"]]
    troubles += [(each["path"], each["why"]) for one in done for each in (*one["bad"], *one["failed"])]
    for one in done:
        if one["bads"]:
            troubles.insert(0, (f"mirror {one['mirror']}", f"{one['bads']:,} copies had rotted or gone"))
        if one["failures"] > len(one["failed"]):
            troubles.append((f"mirror {one['mirror']}", f"{one['failures']:,} files in all could not be copied"))
    told = {one["mirror"] for one in done}
    troubles += [
        (f"mirror {name}", "its task did not finish: its log says why") for name in wanted or () if name not in told
    ]
    if wanted is None:
        troubles.append(("mirror", "which mirrors there are could not be found out: the log of `which` says why"))
    if troubles:
        with open_run() as site:
            notice.tell(site, troubles, link=link_to(context))
        raise AirflowFailException("; ".join(f"{name}: {why}" for name, why in troubles[:5]))
    counts = {key: sum(one[key] for one in done) for key in ("copied", "removed", "verified")}
    log.info("%(copied)d copied, %(removed)d removed, %(verified)d read again", counts)
    return counts
