"""A private PostgreSQL and Airflow for one checkout: all below one folder, only loopback and unix sockets.

Used by ``bin/stack``, by ``bin/orbitory`` and by the tests. Standard library only, so that it starts at once.
"""
