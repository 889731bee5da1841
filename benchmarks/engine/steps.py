"""The statuses that an order has in flow-bench, one for each of its tasks."""

from __future__ import annotations

_NAMED = (
    *("RECEIVED", "VALIDATED", "PRICING_STARTED", "PRICED", "INVENTORY_CHECK_STARTED", "INVENTORY_CONFIRMED"),
    *("RESERVATION_STARTED", "RESERVED", "PAYMENT_INITIATED", "PAYMENT_AUTHORIZED", "PAYMENT_CAPTURED"),
    *("FULFILLMENT_STARTED", "PICKED", "PACKED", "READY_TO_SHIP", "SHIPPED", "IN_TRANSIT"),
    *("OUT_FOR_DELIVERY", "DELIVERED"),
)


def statuses(count: int) -> list[str]:
    """*count* of them, the last one says so."""
    before = [_NAMED[n] if n < len(_NAMED) else f"STEP_{n + 1}" for n in range(count - 1)]
    return [*before, f"COMPLETED_{count}_STEPS"]
