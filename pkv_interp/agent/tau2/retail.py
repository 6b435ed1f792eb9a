"""Retail: orders whose status, or whose gift card, gates what may be done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pkv_interp.agent.tau2.records import DENY, Call, Gated, Look, Topic

DOMAIN = "retail"
PENDING, PROCESSED, DELIVERED, CANCELLED = "pending", "processed", "delivered", "cancelled"
REFUND = Topic(
    "refund", ("## Cancel pending order", "## Return delivered order"), "status", ("cancel", "return")
)
SWAP = Topic(
    "swap",
    ("## Modify pending order", "### Modify items", "## Exchange delivered order"),
    "status",
    ("modify", "exchange"),
)
SHIP = Topic("ship", ("## Cancel pending order",), "status", ("cancel", "deny"))
GONE = Topic("gone", ("## Modify pending order",), "status", ("modify", "deny"))
PAY = Topic("pay", ("## Modify pending order", "### Modify payment"), "gift card balance", ("modify", "deny"))
TOPICS = (REFUND, SWAP, SHIP, GONE, PAY)
Row = Mapping[str, Any]


def retail_records(tables: Row) -> list[Gated]:
    """Every order under every topic that it can be asked about.

    Args:
        tables: the database as plain data: ``users``, ``orders`` and ``products``.
    """
    return [one for order in tables["orders"].values() for one in _of(order, tables)]


def retail_part(tables: Row, user: str) -> dict[str, Any]:
    """The part of the database that one user's orders touch."""
    orders = {key: order for key, order in tables["orders"].items() if order["user_id"] == user}
    wanted = {item["product_id"] for order in orders.values() for item in order["items"]}
    return {
        "users": {user: tables["users"][user]},
        "orders": orders,
        "products": {key: one for key, one in tables["products"].items() if key in wanted},
    }


def _of(order: Row, tables: Row) -> Iterator[Gated]:
    status, key = order["status"], order["order_id"]
    methods = tables["users"][order["user_id"]]["payment_methods"]
    paid = order["payment_history"][0] if order["payment_history"] else None
    if paid is None or paid["payment_method_id"] not in methods:
        return
    method = paid["payment_method_id"]
    cancel = Call.of("cancel_pending_order", order_id=key, reason="no longer needed")
    if status in (PENDING, DELIVERED):
        items = [item["item_id"] for item in order["items"]]
        back = Call.of("return_delivered_order_items", order_id=key, item_ids=items, payment_method_id=method)
        ask = f"The user wants no item of order {key} any more and asks for the money back."
        yield _status(order, REFUND, (PENDING, DELIVERED), (cancel, back), ask)
        if swap := _swap(order, tables):
            yield swap
    if status in (PENDING, PROCESSED):
        ask = f"The user no longer needs order {key}, wants it cancelled, and has confirmed."
        yield _status(order, SHIP, (PENDING, PROCESSED), (cancel, DENY), ask)
    if status in (PENDING, CANCELLED):
        address = {**tables["users"][order["user_id"]]["address"], "address2": "Suite 12"}
        move = Call.of("modify_pending_order_address", order_id=key, **address)
        ask = f"The user wants order {key} sent to Suite 12 at the home address, and has confirmed."
        yield _status(order, GONE, (PENDING, CANCELLED), (move, DENY), ask)
    if status == PENDING and len(order["payment_history"]) == 1 and (pay := _pay(order, methods)):
        yield pay


def _status(
    order: Row, topic: Topic, states: tuple[str, str], calls: tuple[Call, Call], request: str
) -> Gated:
    """A record whose field is the order's status."""
    return _gated(
        order,
        topic,
        states,
        (_arrival(order, states[0]), _arrival(order, states[1])),
        calls,
        request,
        found=states.index(order["status"]),
    )


def _gated(
    order: Row,
    topic: Topic,
    states: tuple[str, str],
    arrivals: tuple[Call, Call],
    calls: tuple[Call, Call],
    request: str,
    *,
    found: int,
) -> Gated:
    total = sum(item["price"] for item in order["items"])
    names = ", ".join(item["name"] for item in order["items"])
    return Gated(
        DOMAIN,
        topic,
        order["user_id"],
        order["order_id"],
        f"Order {order['order_id']}",
        states,
        found,
        arrivals,
        calls,
        Look(Call.of("get_order_details", order_id=order["order_id"]), ("status",)),
        (f"items: {names}", f"total: {total:.2f}"),
        request,
    )


def _arrival(order: Row, status: str) -> Call:
    """What brings an order into a status: another session's tool call where there is one for it."""
    key = order["order_id"]
    if status == CANCELLED and order["status"] == PENDING:
        return Call.of("cancel_pending_order", order_id=key, reason="ordered by mistake")
    return Call.update(orders={key: {"status": status}})


def _swap(order: Row, tables: Row) -> Gated | None:
    """Another option of the order's first item, paid by a method that has no balance to run out."""
    item, key = order["items"][0], order["order_id"]
    methods = tables["users"][order["user_id"]]["payment_methods"]
    method = next((name for name, one in methods.items() if one["source"] != "gift_card"), None)
    variants = tables["products"][item["product_id"]]["variants"]
    new = next((name for name, v in variants.items() if v["available"] and name != item["item_id"]), None)
    if method is None or new is None:
        return None
    how = {
        "order_id": key,
        "item_ids": [item["item_id"]],
        "new_item_ids": [new],
        "payment_method_id": method,
    }
    tools = ("modify_pending_order_items", "exchange_delivered_order_items")
    options = ", ".join(f"{name} {value}" for name, value in variants[new]["options"].items())
    ask = (
        f"The user wants the {item['name']} of order {key} with other options ({options}), and has confirmed."
    )
    return _status(
        order, SWAP, (PENDING, DELIVERED), (Call.of(tools[0], **how), Call.of(tools[1], **how)), ask
    )


def _pay(order: Row, methods: Row) -> Gated | None:
    """The order's payment moved to a gift card that covers it, or not.

    Both balances are set, on either side of the amount: few cards of the database could pay an order.
    """
    paid, key = order["payment_history"][0], order["order_id"]
    cards = {
        name: one["balance"]
        for name, one in methods.items()
        if one["source"] == "gift_card" and name != paid["payment_method_id"]
    }
    card = next(iter(cards), None)
    enough, short = (f"{times * paid['amount']:.2f}" for times in (1.4, 0.6))
    if card is None or len(enough) != len(short):
        return None

    def left(amount: str) -> Call:
        held = {"payment_methods": {card: {"balance": float(amount)}}}
        return Call.update(users={order["user_id"]: held})

    move = Call.of("modify_pending_order_payment", order_id=key, payment_method_id=card)
    ask = f"The user wants to pay order {key} with the gift card instead, and has confirmed."
    found = 0 if cards[card] >= paid["amount"] else 1
    gated = _gated(order, PAY, (enough, short), (left(enough), left(short)), (move, DENY), ask, found=found)
    # The tool that tells a balance is that of the user, who has the card.
    whose = Call.of("get_user_details", user_id=order["user_id"])
    return replace(gated, look=Look(whose, ("payment_methods", card, "balance")))
