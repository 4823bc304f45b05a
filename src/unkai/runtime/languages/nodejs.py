"""Node.js. https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from unkai.runtime.languages.language import Language, Launch, Package

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODULES = "/opt/nodejs/node_modules:/var/runtime/node_modules:/var/runtime:/var/task"
_MAJORS = (18, 20, 22, 24)


@functools.cache
def _interpreters() -> Mapping[int, Path]:
    """Node.js by major version: the one on PATH, and nvm's."""
    programs = [Path(found)] if (found := shutil.which("node")) else []
    nvm = Path(os.environ.get("NVM_DIR", "") or Path.home() / ".nvm") / "versions/node"
    if os.path.isdir(nvm):
        programs += sorted(nvm.glob("v*/bin/node"), reverse=True)
    result: dict[int, Path] = {}
    for program in programs:
        named = re.match(r"v(\d{1,3})\.", program.parent.parent.name)
        major = int(named[1]) if named else _major(program)
        if major in _MAJORS:
            result.setdefault(major, program.resolve())
    return result


def _major(program: Path) -> int:
    try:
        out = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.match(r"v(\d{1,3})\.", out)
    return int(found[1]) if found else 0


def _runtimes() -> Mapping[str, str]:
    return {f"nodejs{major}.x": str(path) for major, path in _interpreters().items()}


def _prefixes() -> tuple[Path, ...]:
    return tuple({path.parent.parent for path in _interpreters().values() if not path.is_relative_to("/usr")})


def _launch(runtime: str, interpreter: str, package: Package) -> Launch:
    major = runtime.removeprefix("nodejs").removesuffix(".x")
    environment = {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
        "PATH": f"{Path(interpreter).parent}:/usr/local/bin:/usr/bin:/bin:/opt/bin",
        "LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
        "NODE_PATH": f"/opt/nodejs/node{major}/node_modules:{_MODULES}",
    }
    memory_mb = max(32, int(package.environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")) * 3 // 4)
    argv = (interpreter, f"--max-old-space-size={memory_mb}", "/var/runtime/nodejs_bootstrap.mjs")
    return Launch(argv, environment)


NODEJS = Language("nodejs", _runtimes, _launch, _prefixes, "Node.js 18, 20, 22 or 24 on PATH or under ~/.nvm")
