"""Brokers that a call reaches directly, by the protocol of a server of the AsyncAPI document; see `brokers.direct`.

Each protocol is a module with ``publish(link, message)``, which returns when the broker has confirmed the message, and
``receive(link, reception)``, which yields None once it is subscribed and then each message. A message is settled when
the router has it, and only then acknowledged to the broker.
"""
