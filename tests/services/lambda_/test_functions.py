"""Functions, versions and aliases, as boto3 sees them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import urllib3
from botocore.exceptions import ClientError

from tests.services.lambda_.conftest import TRUST, package

Make = Callable[..., str]


def code_of(caught: Any) -> str:
    return str(caught.value.response["Error"]["Code"])


# Clients take the answer of CreateFunction as pending and wait until GetFunction says Active. What is not given has AWS's
# defaults, and the handler is lambda_function.lambda_handler.
def test_create_and_get(lam: Any, role: str, name: str) -> None:
    data = package()
    made = lam.create_function(
        FunctionName=name, Runtime="python3.12", Role=role, Code={"ZipFile": data}, Tags={"team": "sea"}
    )
    assert made["State"] == "Pending"
    lam.get_waiter("function_active_v2").wait(FunctionName=name)
    got = lam.get_function(FunctionName=name)
    config = got["Configuration"]
    assert config["Handler"] == "lambda_function.lambda_handler"
    assert (config["MemorySize"], config["Timeout"], config["EphemeralStorage"]["Size"]) == (128, 3, 512)
    assert config["FunctionArn"] == f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    assert config["CodeSha256"] == base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert config["CodeSize"] == len(data)
    assert config["Version"] == "$LATEST"
    assert config["RevisionId"] == made["RevisionId"]
    assert config["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"}
    assert got["Tags"] == {"team": "sea"}


# GetFunction hands out a URL that gives the package to whoever has it, and to nobody without its signature.
def test_code_location(lam: Any, make: Make) -> None:
    name = make()
    url = lam.get_function(FunctionName=name)["Code"]["Location"]
    http = urllib3.PoolManager()
    assert http.request("GET", url).data == package() or zipfile.is_zipfile(io.BytesIO(http.request("GET", url).data))
    assert http.request("GET", url[:-1] + ("0" if url[-1] != "0" else "1")).status == 403
    assert http.request("GET", url.replace("Expires=", "Expires=9")).status == 403


def test_code_location_expires(lam: Any, make: Make, advance: Callable[[float], None]) -> None:
    url = lam.get_function(FunctionName=make())["Code"]["Location"]
    advance(601)
    assert urllib3.PoolManager().request("GET", url).status == 403


# The same function is reached by name, partial ARN and ARN.
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "function:{}",
        "123456789012:function:{}",
        "arn:aws:lambda:us-east-1:123456789012:function:{}",
        "{}:$LATEST",
        "arn:aws:lambda:us-east-1:123456789012:function:{}:$LATEST",
    ],
)
def test_name_forms(lam: Any, make: Make, form: str) -> None:
    name = make()
    assert lam.get_function_configuration(FunctionName=form.format(name))["FunctionName"] == name


def test_contradicting_qualifiers(lam: Any, make: Make) -> None:
    with pytest.raises(ClientError, match="derived qualifier") as caught:
        lam.get_function(FunctionName=f"{make()}:1", Qualifier="2")
    assert code_of(caught) == "InvalidParameterValueException"


# Terraform and SDKs tell "create" from "update" by these two errors.
def test_missing_and_existing(lam: Any, make: Make, role: str) -> None:
    with pytest.raises(lam.exceptions.ResourceNotFoundException, match="Function not found: arn:aws:lambda:us-east-1:"):
        lam.get_function(FunctionName="nobody")
    name = make()
    with pytest.raises(lam.exceptions.ResourceConflictException, match=f"Function already exist: {name}"):
        lam.create_function(FunctionName=name, Runtime="python3.12", Role=role, Code={"ZipFile": package()})


# AWS's limits, where the model states looser ones or none.
@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"MemorySize": 10241}, "ValidationException", "memorySize"),
        ({"MemorySize": 127}, "ValidationException", "memorySize"),
        ({"Timeout": 901}, "ValidationException", "timeout"),
        ({"EphemeralStorage": {"Size": 10241}}, "ValidationException", "ephemeralStorage"),
        ({"Environment": {"Variables": {"KEY": "x" * 4096}}}, "InvalidParameterValueException", "4KB"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "InvalidParameterValueException", "AWS_REGION"),
        ({"Runtime": "python3.9"}, "InvalidParameterValueException", "python3.12"),
        (
            {"Layers": ["arn:aws:lambda:us-east-1:123456789012:layer:x:1"]},
            "InvalidParameterValueException",
            "does not exist",
        ),
        ({"Code": {"ZipFile": b"no zip"}}, "InvalidParameterValueException", "unzip"),
        ({"PackageType": "Image", "Code": {"ImageUri": "x"}}, "InvalidParameterValueException", "images"),
        ({"DeadLetterConfig": {"TargetArn": "arn:aws:s3:::x"}}, "InvalidParameterValueException", "dead letter"),
    ],
)
def test_limits(make: Make, settings: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(ClientError, match=words) as caught:
        make(**settings)
    assert code_of(caught) == code


# A zip that says of itself that it is too large unpacked is refused by its directory, without unpacking it.
def test_zip_bomb(make: Make) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("lambda_function.py", b"\0" * (262_144_000))
    with pytest.raises(ClientError, match="Unzipped size must be smaller than 262144000 bytes"):
        make(Code={"ZipFile": out.getvalue()})


# The role must exist and trust Lambda, when the function is made and when its role changes.
def test_role_must_be_assumable(lam: Any, make: Make, client: Callable[..., Any], name: str) -> None:
    words = "The role defined for the function cannot be assumed by Lambda."
    with pytest.raises(ClientError, match=words):
        make(Role="arn:aws:iam::123456789012:role/nobody")
    trust = json.dumps(TRUST).replace("lambda.amazonaws.com", "ec2.amazonaws.com")
    other = client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    with pytest.raises(ClientError, match=words):
        lam.update_function_configuration(FunctionName=make(), Role=other)


# Who creates a function needs the right to pass its role on: without it, Lambda would lend out any role.
def test_pass_role(client: Callable[..., Any], node: Any, role: str, name: str) -> None:
    iam = client("iam")
    iam.create_user(UserName=name)
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "lambda:*", "Resource": "*"}]}
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(allow))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    lam = node.client("lambda", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    given = {"FunctionName": name, "Runtime": "python3.12", "Role": role, "Code": {"ZipFile": package()}}
    with pytest.raises(ClientError, match="iam:PassRole") as caught:
        lam.create_function(**given)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    condition = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    allow["Statement"].append({"Effect": "Allow", "Action": "iam:PassRole", "Resource": role, "Condition": condition})  # type: ignore[attr-defined]
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(allow))
    lam.create_function(**given)


# An update changes what is given and nothing else; the revision makes concurrent updates visible.
def test_update_configuration(lam: Any, make: Make) -> None:
    name = make(Environment={"Variables": {"KEY": "1"}}, Description="before")
    before = lam.get_function_configuration(FunctionName=name)
    lam.update_function_configuration(FunctionName=name, MemorySize=256, RevisionId=before["RevisionId"])
    after = lam.get_function_configuration(FunctionName=name)
    assert (after["MemorySize"], after["Description"]) == (256, "before")
    assert after["Environment"] == {"Variables": {"KEY": "1"}}
    assert after["RevisionId"] != before["RevisionId"]
    with pytest.raises(lam.exceptions.PreconditionFailedException):
        lam.update_function_configuration(FunctionName=name, MemorySize=128, RevisionId=before["RevisionId"])
    lam.update_function_configuration(FunctionName=name, Environment={"Variables": {}})
    assert "Environment" not in lam.get_function_configuration(FunctionName=name)


# A version is $LATEST as it was; publishing without a change gives the version that is there.
def test_versions(lam: Any, make: Make) -> None:
    name = make("def lambda_handler(e, c):\n    return 1")
    first = lam.publish_version(FunctionName=name, Description="one")
    assert (first["Version"], first["Description"]) == ("1", "one")
    assert lam.publish_version(FunctionName=name)["Version"] == "1"
    updated = lam.update_function_code(FunctionName=name, ZipFile=package("def lambda_handler(e, c):\n    return 2"))
    assert updated["LastUpdateStatus"] == "InProgress"
    lam.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert lam.publish_version(FunctionName=name)["Version"] == "2"
    listed = lam.list_versions_by_function(FunctionName=name)["Versions"]
    assert [one["Version"] for one in listed] == ["$LATEST", "1", "2"]
    assert lam.invoke(FunctionName=name, Qualifier="1")["Payload"].read() == b"1"
    assert lam.invoke(FunctionName=name)["Payload"].read() == b"2"
    lam.delete_function(FunctionName=name, Qualifier="1")
    with pytest.raises(lam.exceptions.ResourceNotFoundException):
        lam.get_function(FunctionName=name, Qualifier="1")
    with pytest.raises(lam.exceptions.InvalidParameterValueException, match="different from current CodeSHA256"):
        lam.publish_version(FunctionName=name, CodeSha256="wrong")


# An alias names a version, may split traffic between two, and keeps its versions from being deleted.
def test_aliases(lam: Any, make: Make) -> None:
    name = make("def lambda_handler(e, c):\n    return 1", Publish=True)
    lam.update_function_code(
        FunctionName=name, ZipFile=package("def lambda_handler(e, c):\n    return 2"), Publish=True
    )
    alias = lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert alias["AliasArn"].endswith(f"{name}:live")
    assert lam.invoke(FunctionName=f"{name}:live")["ExecutedVersion"] == "1"
    lam.update_alias(FunctionName=name, Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}})
    seen = {lam.invoke(FunctionName=name, Qualifier="live")["Payload"].read() for _ in range(40)}
    assert seen == {b"1", b"2"}
    with pytest.raises(lam.exceptions.ResourceConflictException):
        lam.delete_function(FunctionName=name, Qualifier="2")
    with pytest.raises(lam.exceptions.ResourceConflictException, match="Alias already exists"):
        lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert [one["Name"] for one in lam.list_aliases(FunctionName=name, FunctionVersion="2")["Aliases"]] == ["live"]
    lam.delete_alias(FunctionName=name, Name="live")
    with pytest.raises(lam.exceptions.ResourceNotFoundException, match="Cannot find alias arn"):
        lam.get_alias(FunctionName=name, Name="live")


# Paging never shows a function twice nor leaves one out.
def test_list_functions(lam: Any, make: Make) -> None:
    names = {make() for _ in range(5)}
    pages = list(lam.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}))
    listed = [one["FunctionName"] for page in pages for one in page["Functions"]]
    assert names <= set(listed)
    assert len(listed) == len(set(listed))
    every = [one["FunctionArn"] for one in lam.list_functions(FunctionVersion="ALL")["Functions"]]
    assert all(arn.count(":") == 7 for arn in every)


# A deleted function is gone at once, with all that belonged to it; one made again under its name starts anew.
def test_delete(lam: Any, make: Make, role: str) -> None:
    name = make(Publish=True)
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=5)
    assert lam.delete_function(FunctionName=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(lam.exceptions.ResourceNotFoundException):
        lam.invoke(FunctionName=name)
    lam.create_function(FunctionName=name, Runtime="python3.12", Role=role, Code={"ZipFile": package()}, Publish=True)
    assert lam.publish_version(FunctionName=name)["Version"] == "1"
    assert "Concurrency" not in lam.get_function(FunctionName=name)


# A function goes on using a layer version that was deleted; a new function cannot begin to.
def test_layers(lam: Any, make: Make, name: str) -> None:
    layer = lam.publish_layer_version(
        LayerName=name, Content={"ZipFile": package("x = 1", "python/m.py")}, CompatibleRuntimes=["python3.12"]
    )
    assert layer["Version"] == 1
    arn = layer["LayerVersionArn"]
    function = make(Layers=[arn])
    assert lam.get_function_configuration(FunctionName=function)["Layers"][0]["Arn"] == arn
    assert lam.get_layer_version_by_arn(Arn=arn)["Content"]["CodeSha256"] == layer["Content"]["CodeSha256"]
    statement = lam.add_layer_version_permission(
        LayerName=name, VersionNumber=1, StatementId="all-1", Action="lambda:GetLayerVersion", Principal="*"
    )
    assert json.loads(statement["Statement"])["Resource"] == arn
    lam.remove_layer_version_permission(LayerName=name, VersionNumber=1, StatementId="all-1")
    assert [one["LayerName"] for one in lam.list_layers(CompatibleRuntime="python3.12")["Layers"]] == [name]
    lam.delete_layer_version(LayerName=name, VersionNumber=1)
    assert lam.list_layer_versions(LayerName=name)["LayerVersions"] == []
    lam.update_function_configuration(FunctionName=function, Layers=[arn])
    assert lam.invoke(FunctionName=function)["StatusCode"] == 200
    with pytest.raises(ClientError, match="does not exist"):
        make(Layers=[arn])
    second = lam.publish_layer_version(LayerName=name, Content={"ZipFile": package()})
    assert second["Version"] == 2


# A permission is a statement of the function's policy, shown as AWS writes it; its conditions are enforced.
def test_permissions(lam: Any, make: Make) -> None:
    name = make()
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
    with pytest.raises(lam.exceptions.ResourceNotFoundException):
        lam.get_policy(FunctionName=name)
    given = {"StatementId": "from-s3_1", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    lam.add_permission(FunctionName=name, SourceArn="arn:aws:s3:::b", SourceAccount="123456789012", **given)
    policy = json.loads(lam.get_policy(FunctionName=name)["Policy"])
    assert policy["Statement"] == [
        {
            "Sid": "from-s3_1",
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": arn,
            "Condition": {
                "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"},
                "StringEquals": {"AWS:SourceAccount": "123456789012"},
            },
        }
    ]
    with pytest.raises(lam.exceptions.ResourceConflictException, match="statement id"):
        lam.add_permission(FunctionName=name, **given)
    lam.remove_permission(FunctionName=name, StatementId="from-s3_1")
    with pytest.raises(lam.exceptions.ResourceNotFoundException):
        lam.remove_permission(FunctionName=name, StatementId="from-s3_1")


# Reservations may not leave the rest of the account with less than 100.
def test_reserved_concurrency(lam: Any, make: Make) -> None:
    name = make()
    with pytest.raises(lam.exceptions.InvalidParameterValueException, match=r"\[100\]"):
        lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=990)
    before = lam.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=10)
    assert lam.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == before - 10
    assert lam.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 10
    lam.delete_function_concurrency(FunctionName=name)
    assert "ReservedConcurrentExecutions" not in lam.get_function_concurrency(FunctionName=name)


# What Terraform reads back must be what it wrote.
def test_settings_are_kept(lam: Any, make: Make) -> None:
    name = make(Publish=True)
    lam.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    assert lam.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Allow"
    lam.put_runtime_management_config(FunctionName=name, UpdateRuntimeOn="FunctionUpdate")
    assert lam.get_runtime_management_config(FunctionName=name)["UpdateRuntimeOn"] == "FunctionUpdate"
    lam.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1, MaximumEventAgeInSeconds=60)
    lam.update_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    kept = lam.get_function_event_invoke_config(FunctionName=name)
    assert (kept["MaximumRetryAttempts"], kept["MaximumEventAgeInSeconds"]) == (0, 60)
    assert kept["FunctionArn"].endswith(":$LATEST")
    lam.delete_function_event_invoke_config(FunctionName=name)
    with pytest.raises(lam.exceptions.ResourceNotFoundException):
        lam.get_function_event_invoke_config(FunctionName=name)
    lam.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=2)
    assert lam.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1")["Status"] == "READY"
    lam.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    with pytest.raises(lam.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        lam.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    arn = lam.get_function_configuration(FunctionName=name)["FunctionArn"]
    lam.tag_resource(Resource=arn, Tags={"a": "1", "b": "2"})
    lam.untag_resource(Resource=arn, TagKeys=["a"])
    assert lam.list_tags(Resource=arn)["Tags"] == {"b": "2"}
    assert lam.get_function_code_signing_config(FunctionName=name)["FunctionName"] == name
