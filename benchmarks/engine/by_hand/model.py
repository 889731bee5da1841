"""What the hand-written workflows take and give: dataclasses, as the SDK's guide recommends."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Item:
    sku: str
    price: float
    quantity: int


@dataclass
class Order:
    orderId: str  # noqa: N815 - the names of the data are those of the services
    customerId: str  # noqa: N815
    items: list[Item] = field(default_factory=list)


@dataclass
class Reservation:
    """What is asked of the stock service."""

    orderId: str  # noqa: N815
    items: list[Item]


@dataclass
class Charge:
    """What is asked of the payment service."""

    orderId: str  # noqa: N815
    customerId: str  # noqa: N815
    amount: float
    tier: str


@dataclass
class Reserved:
    reservation: str


@dataclass
class Paid:
    payment: str


@dataclass
class OrderDone:
    orderId: str  # noqa: N815
    total: float
    tier: str
    reservation: str
    payment: str
    status: str


@dataclass
class Stepped:
    """An order that goes through many small steps, none of which acts on the world."""

    orderId: str  # noqa: N815
    amount: float
    customerId: str  # noqa: N815
    status: str = "NEW"


@dataclass
class Enquiry:
    """What is asked of the external service."""

    orderId: str  # noqa: N815
    amount: float
    customerId: str  # noqa: N815
    delayMs: int = 10  # noqa: N815
    status: str = "NEW"


@dataclass
class Assessed:
    """What the external service answers: the enquiry, and more."""

    orderId: str  # noqa: N815
    amount: float
    customerId: str  # noqa: N815
    delayMs: int  # noqa: N815
    status: str
    risk: str
    segment: str
    source: str


@dataclass
class Growth:
    items: int = 1000
    iterations: int = 10


@dataclass
class Grown:
    itemsCount: int  # noqa: N815
    iterations: int
    mutationsPerItem: int  # noqa: N815
    totalMutationEntries: int  # noqa: N815
    status: str
