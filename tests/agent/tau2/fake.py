"""Two tiny databases in the shape of tau2-bench's, with text of our own."""

from __future__ import annotations

from typing import Any

from pkv_interp.agent.tau2.package import Domain

POLICY = """# A shop

Be brief.

## Cancel pending order

Only an order whose status is pending can be cancelled.

## Modify pending order

Only a pending order can be modified.

### Modify payment

A gift card must cover the total.

### Modify items

Once per order.

## Return delivered order

Only an order whose status is delivered can be returned.

## Exchange delivered order

Only a delivered order can be exchanged.
"""


def order(key: str, status: str, user: str = "ann") -> dict[str, Any]:
    return {
        "order_id": key,
        "user_id": user,
        "items": [{"name": "Lamp", "product_id": "p1", "item_id": "i1", "price": 50.0}],
        "status": status,
        "payment_history": [{"transaction_type": "payment", "amount": 50.0, "payment_method_id": "paypal_1"}],
    }


def retail_tables() -> dict[str, Any]:
    methods = {
        "paypal_1": {"source": "paypal"},
        "gift_card_1": {"source": "gift_card", "balance": 80.0},
    }
    users = {
        name: {"payment_methods": methods, "address": {"address1": "1 Road", "city": "Ulm"}}
        for name in ("ann", "bob")
    }
    statuses = ("pending", "processed", "delivered", "cancelled", "pending", "delivered")
    orders = [
        order(f"#W{i}", status, user)
        for i, (status, user) in enumerate((s, u) for u in ("ann", "bob") for s in statuses)
    ]
    variants = {
        "i1": {"available": True, "options": {"colour": "red"}},
        "i2": {"available": True, "options": {"colour": "blue"}},
    }
    return {
        "users": users,
        "orders": {one["order_id"]: one for one in orders},
        "products": {"p1": {"variants": variants}, "p2": {"variants": {}}},
    }


def airline_tables() -> dict[str, Any]:
    def leg(number: str, status: str) -> dict[str, Any]:
        entry = {
            "status": status,
            "available_seats": {"economy": 5, "business": 5, "basic_economy": 0},
            "prices": {"economy": 100, "business": 300, "basic_economy": 50},
        }
        return {
            "scheduled_departure_time_est": "06:00:00",
            "scheduled_arrival_time_est": "07:00:00",
            "dates": {"2024-05-20": entry, "2024-05-21": entry},
            "flight_number": number,
        }

    def booked(key: str, cabin: str, flights: tuple[str, ...], insurance: str = "no") -> dict[str, Any]:
        return {
            "reservation_id": key,
            "user_id": "ann",
            "cabin": cabin,
            "flights": [{"flight_number": f, "date": "2024-05-20", "destination": "SFO"} for f in flights],
            "passengers": [{}, {}],
            "created_at": "2024-05-01T00:00:00",
            "insurance": insurance,
        }

    reservations = [
        booked("AAA", "business", ("F1",)),
        booked("BBB", "economy", ("F1", "F2")),
        booked("CCC", "economy", ("F1",), "yes"),
        booked("DDD", "economy", ("F1", "F3")),
    ]
    return {
        "users": {"ann": {"payment_methods": {"credit_card_1": {"source": "credit_card"}}}},
        "reservations": {one["reservation_id"]: one for one in reservations},
        "flights": {"F1": leg("F1", "available"), "F2": leg("F2", "available"), "F3": leg("F3", "landed")},
    }


def shop() -> Domain:
    """A retail domain without the package: records and prompts can be made, worlds cannot."""
    return Domain("retail", POLICY, retail_tables(), "made up")
