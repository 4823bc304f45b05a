"""The front door's HTTP server. `serve` is all that other modules need."""

from unkai.edge.http.limits import Limits
from unkai.edge.http.server import Handler, Server, serve

__all__ = ["Handler", "Limits", "Server", "serve"]
