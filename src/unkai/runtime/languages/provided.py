"""Custom runtimes: an executable named bootstrap in the package or a layer.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unkai.runtime.languages.language import Language, Launch, Package

if TYPE_CHECKING:
    from collections.abc import Mapping


def _runtimes() -> Mapping[str, str]:
    return {"provided.al2023": "", "provided.al2": "", "provided": ""}


def _launch(runtime: str, interpreter: str, package: Package) -> Launch:
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
        "LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    }
    in_layer = not (package.task / "bootstrap").exists() and package.opt and (package.opt / "bootstrap").exists()
    return Launch(("/opt/bootstrap" if in_layer else "/var/task/bootstrap",), environment)


PROVIDED = Language("provided", _runtimes, _launch)
