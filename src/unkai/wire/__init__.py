"""Codecs between bytes and values, compiled from the service models. Nothing here knows what an operation means."""
