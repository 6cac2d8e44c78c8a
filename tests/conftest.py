"""Puts this folder on the import path, and the fixtures that several folders share."""

from mosquitto import broker, start_mosquitto

__all__ = ["broker", "start_mosquitto"]
