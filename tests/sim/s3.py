"""Clients of one versioned bucket, and a checker that knows what they were promised.

A read never shows what was overwritten or deleted before it was asked, by a write whose answer had arrived by then; it shows
nothing that nobody wrote; of all that create a key only where nothing is, at most one succeeds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

from tests.sim.world import World
from unkai.kernel.errors import AwsError

BUCKET = "sim-bucket"
KEYS = ("a", "b/c", "k" * 600)
ONCE = "once/"


@dataclass
class Write:
    """`content` is None for a delete. `done_s` is infinite until its answer arrives."""

    content: bytes | None
    asked_s: float
    done_s: float = inf


@dataclass
class BucketChecker:
    world: World
    writes: dict[str, list[Write]] = field(default_factory=lambda: {key: [Write(None, -1.0, -1.0)] for key in KEYS})
    created: dict[str, list[bytes]] = field(default_factory=dict)
    versions: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    number: int = 0

    async def set_up(self) -> None:
        await self._insist("CreateBucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        await self._insist("PutBucketVersioning", VersioningConfiguration={"Status": "Enabled"})

    async def _insist(self, operation: str, **inp: Any) -> dict[str, Any]:
        """As an SDK does: retryable errors are retried."""
        while True:
            try:
                return await self.world.call(0, "s3", operation, Bucket=BUCKET, **inp)
            except AwsError as error:
                if error.code == "BucketAlreadyOwnedByYou":
                    return {}
                if error.code != "ServiceUnavailable":
                    raise

    async def step(self, at: int) -> None:
        """One thing that a client does; an answer that is lost leaves its write as one that may have happened."""
        rng = self.world.random
        key = rng.choice(KEYS)
        try:
            await rng.choice((self.put, self.put, self.get, self.get, self.delete, self.create, self.list))(at, key)
        except AwsError as error:
            if error.code != "ServiceUnavailable":
                self.broken.append(f"a client saw {error.code}: {error.message}")

    def _content(self) -> bytes:
        self.number += 1
        return b"%d:" % self.number + b"x" * self.world.random.choice((0, 3000))

    async def put(self, at: int, key: str) -> None:
        write = Write(self._content(), self.world.now_s())
        self.writes[key].append(write)
        out = await self.world.call(at, "s3", "PutObject", Bucket=BUCKET, Key=key, Body=write.content)
        write.done_s = self.world.now_s()
        if out["VersionId"] in self.versions:
            self.broken.append("a version id was given out twice")
        self.versions.add(out["VersionId"])

    async def delete(self, at: int, key: str) -> None:
        write = Write(None, self.world.now_s())
        self.writes[key].append(write)
        await self.world.call(at, "s3", "DeleteObject", Bucket=BUCKET, Key=key)
        write.done_s = self.world.now_s()

    async def get(self, at: int, key: str) -> None:
        asked_s = self.world.now_s()
        try:
            found = (await self.world.call(at, "s3", "GetObject", Bucket=BUCKET, Key=key))["Body"]
        except AwsError as error:
            if error.code != "NoSuchKey":
                raise
            found = None
        self._check_read(key, found, asked_s)

    def _check_read(self, key: str, found: bytes | None, asked_s: float) -> None:
        """Some write of this content is not surely older than another one that was over when the read was asked."""
        known = [write for write in self.writes[key] if write.content == found]
        if not known:
            self.broken.append(f"read {found!r:.40}, which nobody wrote")
        newest_start_s = max((write.asked_s for write in self.writes[key] if write.done_s < asked_s), default=-inf)
        if known and all(write.done_s < newest_start_s for write in known):
            self.broken.append(f"read {found!r:.40} after it was overwritten")

    async def create(self, at: int, key: str) -> None:
        """Create only where nothing is: several clients try the same few keys."""
        name, content = f"{ONCE}{self.world.random.randrange(5)}", self._content()
        try:
            await self.world.call(at, "s3", "PutObject", Bucket=BUCKET, Key=name, Body=content, IfNoneMatch="*")
        except AwsError as error:
            if error.code != "PreconditionFailed":
                raise
            return
        self.created.setdefault(name, []).append(content)
        if len(self.created[name]) > 1:
            self.broken.append(f"{name} was created twice")

    async def list(self, at: int, key: str) -> None:
        out = await self.world.call(at, "s3", "ListObjectsV2", Bucket=BUCKET, MaxKeys=2, Prefix=ONCE)
        if (found := len(out.get("Contents", ()))) > 2:
            self.broken.append(f"a page of 2 holds {found}")

    async def finish(self) -> None:
        """What is there at the end is what the writes allow; every acknowledged version can still be read."""
        now_s = self.world.now_s()
        for key in KEYS:
            try:
                found = (await self._insist("GetObject", Key=key))["Body"]
            except AwsError as error:
                if error.code != "NoSuchKey":
                    raise
                found = None
            self._check_read(key, found, now_s)
        for name, contents in self.created.items():
            if (await self._insist("GetObject", Key=name))["Body"] != contents[0]:
                self.broken.append(f"{name} is not what its creator wrote")
        out = await self._insist("ListObjectVersions")
        listed = {each["VersionId"] for each in out.get("Versions", ())}
        if lost := self.versions - listed:
            self.broken.append(f"{len(lost)} acknowledged versions are gone")
