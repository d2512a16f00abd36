# Orbitory and its Airflow. Any base with Python 3.11 to 3.13 (python3, venv) will do.
ARG BASE_IMAGE=python:3.13-slim-bookworm
FROM ${BASE_IMAGE}

# Wheels of rasterio expect the system's libexpat; PGEs run under bubblewrap where the container may make namespaces.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends bubblewrap ca-certificates libexpat1 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 50000 --gid 0 --create-home --home-dir /opt/airflow airflow \
    && install -d -o airflow -g 0 -m 0770 /opt/airflow/logs /opt/airflow/config /srv/orbitory

COPY requirements.txt /opt/orbitory/
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --compile -r /opt/orbitory/requirements.txt

COPY include /opt/orbitory/include
COPY plugins /opt/orbitory/plugins
COPY dags /opt/orbitory/dags
COPY deploy /opt/orbitory/deploy

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/orbitory/include \
    PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/orbitory/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/orbitory/plugins
USER 50000:0
WORKDIR /opt/airflow
CMD ["airflow", "version"]
