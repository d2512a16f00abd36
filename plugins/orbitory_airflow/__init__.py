"""Glue between Airflow and `orbitory`, which never imports Airflow. DAG files import it by name."""
