"""Exit 0 when Airflow says that the named component (``dag_processor``, ``triggerer``) has reported lately.

A health check that costs milliseconds; Airflow's own command would start a whole Airflow each time.
"""

import json
import sys
import urllib.request

with urllib.request.urlopen("http://api-server:8080/api/v2/monitor/health", timeout=20) as answer:
    sys.exit(json.load(answer)[sys.argv[1]]["status"] != "healthy")
