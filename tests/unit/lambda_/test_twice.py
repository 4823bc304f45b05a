"""Every handler that writes, on a store whose every first commit conflicts: running twice must mean the same as once."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from tests.sim import loop
from tests.sim.lambda_ import MAY_SEND, TRUST
from tests.sim.world import ACCOUNT, Rates, World

ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"


def archive(text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("lambda_function.py", text)
    return out.getvalue()


async def _story() -> list[str]:
    world = World(1, workers=1, rates=Rates(conflict=0, lost_answer=0, refusal=0, delay_s_max=0))
    world.workers[0].engine.rates = Rates(conflict=1.0, lost_answer=0, refusal=0, delay_s_max=0)
    await world.start()

    async def do(operation: str, service: str = "lambda", **inp: Any) -> dict[str, Any]:
        return await world.call(0, service, operation, **inp)

    rights = json.dumps(MAY_SEND).replace("SendMessage", "*")
    await do("CreateRole", "iam", RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST))
    await do(
        "PutRolePolicy",
        "iam",
        RoleName="r",
        PolicyName="p",
        PolicyDocument=rights,
    )
    await do("CreateQueue", "sqs", QueueName="q")
    layer = await do("PublishLayerVersion", LayerName="l", Content={"ZipFile": archive("l")})
    arn = layer["LayerVersionArn"]
    s = {"LayerName": "l", "VersionNumber": 1, "StatementId": "s"}
    await do("AddLayerVersionPermission", **s, Action="lambda:GetLayerVersion", Principal="*")
    await do("RemoveLayerVersionPermission", **s)
    f = {"FunctionName": "f"}
    await do(
        "CreateFunction",
        **f,
        Runtime="python3.12",
        Role=ROLE,
        Code={"ZipFile": archive("1")},
        Layers=[arn],
        Publish=True,
    )
    await do("DeleteLayerVersion", LayerName="l", VersionNumber=1)
    await do("UpdateFunctionCode", **f, ZipFile=archive("2"), Publish=True)
    await do("UpdateFunctionConfiguration", **f, MemorySize=256, Layers=[])
    assert (await do("PublishVersion", **f))["Version"] == "3"
    await do("CreateAlias", **f, Name="a", FunctionVersion="2")
    await do("UpdateAlias", **f, Name="a", RoutingConfig={"AdditionalVersionWeights": {"3": 0.5}})
    await do("AddPermission", **f, StatementId="s", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com")
    await do("RemovePermission", **f, StatementId="s")
    await do("PutFunctionConcurrency", **f, ReservedConcurrentExecutions=7)
    await do("PutFunctionConcurrency", **f, ReservedConcurrentExecutions=9)
    await do("PutProvisionedConcurrencyConfig", **f, Qualifier="a", ProvisionedConcurrentExecutions=1)
    await do("PutFunctionEventInvokeConfig", **f, MaximumRetryAttempts=0)
    await do("UpdateFunctionEventInvokeConfig", **f, MaximumEventAgeInSeconds=60)
    await do("PutFunctionRecursionConfig", **f, RecursiveLoop="Allow")
    await do("PutRuntimeManagementConfig", **f, UpdateRuntimeOn="Auto")
    url = await do("CreateFunctionUrlConfig", **f, AuthType="NONE")
    await do("UpdateFunctionUrlConfig", **f, AuthType="AWS_IAM")
    await do("CreateFunctionUrlConfig", **f, Qualifier="a", AuthType="NONE")
    await do("TagResource", Resource=f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f", Tags={"a": "b"})
    await do("UntagResource", Resource=f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f", TagKeys=["a"])
    source = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:q"
    mapping = await do("CreateEventSourceMapping", **f, EventSourceArn=source, Enabled=False)
    await do("UpdateEventSourceMapping", UUID=mapping["UUID"], BatchSize=3)
    await do("DeleteEventSourceMapping", UUID=mapping["UUID"])
    broken = await world.check_invariants()
    got = await do("GetFunction", **f)
    assert got["Concurrency"] == {"ReservedConcurrentExecutions": 9}
    assert (await do("GetFunctionUrlConfig", **f))["FunctionUrl"] == url["FunctionUrl"]

    await do("DeleteFunction", **f, Qualifier="1")
    await do("DeleteAlias", **f, Name="a")
    await do("DeleteFunctionConcurrency", **f)
    broken += await world.check_invariants()
    await do("DeleteFunction", **f)
    await world.quiet()
    await world.jump(10_000)
    await world.quiet()
    left = [key for key, _ in await world.all_rows() if key.startswith((b"\x02lamf\0", b"\x02lamb\0", b"\x02lamu\0"))]
    broken += [f"left behind: {key!r}" for key in left]
    broken += await world.check_invariants()
    await world.stop()
    return broken


def test_every_write_twice() -> None:
    assert loop.run(_story()) == []
