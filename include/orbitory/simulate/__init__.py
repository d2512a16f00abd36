"""Deliveries to try ingest with: faithful files, chosen faults, and the fate that each file must meet.

``simulate`` writes one; ``fault_names`` tells what can go wrong in it.
"""

from orbitory.simulate.delivery import fault_names, simulate

__all__ = ["fault_names", "simulate"]
