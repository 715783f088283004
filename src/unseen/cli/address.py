"""Where a server is reached: ports, and hosts that are this machine alone."""

from __future__ import annotations

import argparse
import ipaddress


def port(text: str) -> int:
    """A port from 1 to 65535, for argparse."""
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port from 1 to 65535")
    return number


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
