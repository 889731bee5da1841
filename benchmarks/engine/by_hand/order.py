"""The order workflow: two activities in sequence, and a little plain Python."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from benchmarks.engine.by_hand.activities import Services
    from benchmarks.engine.by_hand.model import Charge, Order, OrderDone, Reservation

A_CALL = timedelta(seconds=60)


@workflow.defn(name="order")
class OrderWorkflow:
    """Add up an order, choose a tier, reserve, charge: two activities in sequence."""

    @workflow.run
    async def run(self, order: Order) -> OrderDone:
        total = sum(item.price * item.quantity for item in order.items)
        tier = "premium" if total > 1000 else "standard"
        reserved = await workflow.execute_activity_method(
            Services.reserve, Reservation(order.orderId, order.items), start_to_close_timeout=A_CALL
        )
        paid = await workflow.execute_activity_method(
            Services.charge,
            Charge(order.orderId, order.customerId, total, tier),
            start_to_close_timeout=A_CALL,
        )
        return OrderDone(order.orderId, total, tier, reserved.reservation, paid.payment, "CONFIRMED")
