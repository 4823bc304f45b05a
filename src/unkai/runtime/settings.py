"""What the runtime's processes are told at start, as one JSON file that the supervisor writes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """`uid_base`: functions run as uid_base + n (0: no uids of their own). `level`: full, user or none (see sandbox/levels)."""

    state_dir: Path
    level: str
    unkai_host: str = "127.0.0.1"
    unkai_port: int = 4566
    uid_base: int = 0
    keeper_uid: int = 0
    client_uids: tuple[int, ...] = ()
    cpu_quota: bool = False
    idle_ms: int = 300_000
    freeze_after_ms: int = 20
    environments_max: int = 1000
    sdk_path: str = ""
    """The folder that holds boto3 and what it needs."""
    allow_private_network: bool = False
    name: str = field(default="unkai")

    @property
    def socket_path(self) -> Path:
        return self.state_dir / "sock" / "keeper"

    @property
    def code_socket_path(self) -> Path:
        return self.state_dir / "sock" / "code"

    @property
    def code_dir(self) -> Path:
        return self.state_dir / "code"

    @property
    def view(self) -> Path:
        return self.state_dir / "view"

    @property
    def disks_dir(self) -> Path:
        return self.state_dir / "disks"

    def write(self, path: Path) -> None:
        values = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
        path.write_text(json.dumps(values))
        os.chmod(path, 0o600)


def read_settings(path: Path) -> Settings:
    values = json.loads(path.read_text())
    known = {field.name for field in fields(Settings)}
    assert set(values) <= known, "a settings file of another version"
    values["state_dir"] = Path(values["state_dir"])
    values["client_uids"] = tuple(values.get("client_uids", ()))
    return Settings(**values)
