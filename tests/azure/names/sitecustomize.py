"""Names of the stand-ins lead to this machine, all other names nowhere; imported at start by each
Python process that has this folder on its path.
"""

import ipaddress
import socket
from typing import Any

_real = socket.getaddrinfo


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".azlocal.test")


def getaddrinfo(host: Any, *more: Any, **named: Any) -> Any:
    """Of loopback only: no test leaves the machine."""
    name = host.decode() if isinstance(host, bytes) else host
    if name is None or name in ("", "0.0.0.0", "::"):
        return _real(host, *more, **named)
    if not _is_here(name) or name.startswith("nowhere."):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return _real("127.0.0.1" if name.endswith(".azlocal.test") else host, *more, **named)


socket.getaddrinfo = getaddrinfo
