"""Python 3.10 to 3.14. https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from unkai.runtime.languages.language import Language, Launch, Package

if TYPE_CHECKING:
    from collections.abc import Mapping

MINORS = range(10, 15)
SDK_MODULES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3")
"""Pure Python, so one copy serves every version. AWS's runtimes carry them too."""

# Of the interpreter's own variables these work in a forked child; any other asks for a fresh interpreter.
_FORKABLE = {"PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE"}


@functools.cache
def interpreters() -> Mapping[int, Path]:
    """Python 3.x by minor version: those on PATH, then pyenv's. Found once; links are resolved, wrapper scripts left out."""
    folders = [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry]
    folders += [Path(folder) for folder in ("/usr/local/bin", "/usr/bin")]
    pyenv = Path(os.environ.get("PYENV_ROOT", "") or Path.home() / ".pyenv") / "versions"
    if os.path.isdir(pyenv):  # False, too, where it may not be looked at
        folders += [version / "bin" for version in sorted(pyenv.iterdir(), reverse=True)]
    found: dict[int, Path] = {}
    for minor in MINORS:
        for folder in folders:
            program = folder / f"python3.{minor}"
            if minor not in found and os.access(program, os.X_OK | os.R_OK) and _is_binary(program):
                found[minor] = program.resolve()
    return found


def _is_binary(program: Path) -> bool:
    with program.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _runtimes() -> Mapping[str, str]:
    return {f"python3.{minor}": str(path) for minor, path in interpreters().items()}


def _prefixes() -> tuple[Path, ...]:
    """An interpreter outside /usr is shown with its whole prefix, its own site-packages hidden by -S."""
    return tuple({path.parent.parent for path in interpreters().values() if not path.is_relative_to("/usr")})


def _launch(runtime: str, interpreter: str, package: Package) -> Launch:
    minor = int(runtime.removeprefix("python3."))
    environment = {
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
        "PATH": f"{Path(interpreter).parent}:/usr/local/bin:/usr/bin:/bin:/opt/bin",
        "LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
        "PYTHONPATH": "/var/runtime",
    }
    argv = (interpreter, "-S", "-X", "utf8", "/var/runtime/python_bootstrap.py")
    own = {name for name in package.environment if name.startswith("PYTHON")}
    fresh = (
        bool(own - _FORKABLE) or "AWS_LAMBDA_EXEC_WRAPPER" in package.environment or "LD_PRELOAD" in package.environment
    )
    return Launch(argv, environment, 0 if fresh else minor)


def shadows(package: Package, preloaded: frozenset[str]) -> bool:
    """Does the package hold a top-level module that a fork server has already imported from elsewhere?"""
    roots = [package.task]
    if package.opt:
        libraries = sorted((package.opt / "python/lib").glob("python3.*/site-packages"))
        roots += [package.opt / "python", *libraries]
    for entry in package.environment.get("PYTHONPATH", "").split(os.pathsep):
        if entry.startswith("/var/task/"):
            roots.append(package.task / entry.removeprefix("/var/task/"))
        elif entry.startswith("/opt/") and package.opt:
            roots.append(package.opt / entry.removeprefix("/opt/"))
    return any(
        entry.name.partition(".")[0] in preloaded and (entry.is_dir() or entry.suffix in (".py", ".pyc", ".so"))
        for root in roots
        if root.is_dir()
        for entry in root.iterdir()
    )


PYTHON = Language("python", _runtimes, _launch, _prefixes, "a Python 3.10 to 3.14 on PATH or under ~/.pyenv/versions")
