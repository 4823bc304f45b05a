"""botocore's own protocol cases, from its source distribution (they are Smithy's, in botocore's format).

Inputs: what a client sends, decoded, must be the case's parameters. Outputs: the case's result, encoded by us, must be read by
botocore as that result. The cases are fetched at run time into a cache, since they are not ours to keep.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore
import pytest
from botocore.awsrequest import HeadersDict
from botocore.model import OperationModel, ServiceModel
from botocore.parsers import create_parser
from samples import to_milliseconds

from unkai.kernel.errors import AwsError
from unkai.kernel.http import HttpRequest
from unkai.model.load import model_of
from unkai.wire.codec import CODECS

if TYPE_CHECKING:
    from unkai.model.shapes import Member, Operation, Shape

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unkai-tests"
INPUTS = (
    "input/json",
    "input/json_1_0",
    "input/json_1_0-query-compatible",
    "input/query",
    "input/rest-json",
    "input/rest-xml",
    "input/smithy-rpc-v2-cbor",
    "input/smithy-rpc-v2-cbor-non-query-compatible",
    "input/smithy-rpc-v2-cbor-query-compatible",
    "legacy/input/json",
    "legacy/input/query",
    "legacy/input/rest-json",
    "legacy/input/rest-xml",
)
# The file of outputs without query compatibility has no cases.
OUTPUTS = tuple(name.replace("input", "output") for name in INPUTS if "non-query" not in name)

GZIP = "the case has no body, only the header; test_compression.py covers it"
TOKEN = "the client fills the token in"
QUERY_MAP = "the map is for the parameters that no other member takes"
EMPTY_PAYLOAD = "an absent payload is sent as {}, as an empty one is"
ONE_STATUS = "the model has one status for both protocols, and the services that we serve answer with it in both"
BOTOCORE_LISTS = "botocore does not read such lists, and leaves this case out too"
EMPTY_BYTES = "an empty payload reads as empty bytes; botocore leaves this case out too"
OWN_NAME = "botocore takes a structure's own name for its members' elements, and leaves this case out too"
EVENTS = "the case is a captured stream of bytes; test_eventstream.py covers it"

IGNORED = {
    "input/json:SDKAppliedContentEncoding_awsJson1_1": GZIP,
    "input/json:SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_1": GZIP,
    "input/json_1_0:SDKAppliedContentEncoding_awsJson1_0": GZIP,
    "input/json_1_0:SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_0": GZIP,
    "input/query:SDKAppliedContentEncoding_awsQuery": GZIP,
    "input/query:SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsQuery": GZIP,
    "input/query:QueryProtocolIdempotencyTokenAutoFill": TOKEN,
    "input/query:QueryEmptyQueryMaps": "a form cannot say that a map is there and empty",
    "input/rest-json:RestJsonAllQueryStringTypes": QUERY_MAP,
    "input/rest-json:RestJsonQueryStringEscaping": QUERY_MAP,
    "input/rest-json:RestJsonSupportsNaNFloatQueryValues": QUERY_MAP,
    "input/rest-json:RestJsonSupportsInfinityFloatQueryValues": QUERY_MAP,
    "input/rest-json:RestJsonSupportsNegativeInfinityFloatQueryValues": QUERY_MAP,
    "input/rest-json:RestJsonZeroAndFalseQueryValues": QUERY_MAP,
    "input/rest-json:MediaTypeHeaderInputBase64": "the value is JSON, and given as its value; botocore leaves this case out too",
    "input/rest-json:SDKAppliedContentEncoding_restJson1": GZIP,
    "input/rest-json:SDKAppendedGzipAfterProvidedEncoding_restJson1": GZIP,
    "input/rest-json:RestJsonQueryIdempotencyTokenAutoFill": TOKEN,
    "input/rest-json:RestJsonQueryPrecedence": QUERY_MAP,
    "input/rest-json:RestJsonHttpWithEmptyStructurePayload": EMPTY_PAYLOAD,
    "input/rest-json:RestJsonHttpWithHeadersButNoPayload": EMPTY_PAYLOAD,
    "input/rest-xml:BodyWithXmlName": OWN_NAME,
    "input/rest-xml:SDKAppliedContentEncoding_restXml": GZIP,
    "input/rest-xml:SDKAppendedGzipAfterProvidedEncoding_restXml": GZIP,
    "input/rest-xml:QueryIdempotencyTokenAutoFill": TOKEN,
    "input/rest-xml:RestXmlQueryPrecedence": QUERY_MAP,
    "legacy/input/json:6.1": TOKEN,
    "legacy/input/query:12.1": TOKEN,
    "legacy/input/rest-json:13.1": EMPTY_PAYLOAD,
    "legacy/input/rest-json:19.1": TOKEN,
    "legacy/input/rest-json:25.2": EMPTY_PAYLOAD,
    "legacy/input/rest-json:25.4": EMPTY_PAYLOAD,
    "legacy/input/rest-json:25.7": "botocore's default Content-Type, which the member is bound to",
    "legacy/input/rest-xml:23.1": TOKEN,
    "output/json_1_0-query-compatible:QueryCompatibleAwsJson10CustomCodeError": ONE_STATUS,
    "output/query:QueryXmlLists": "two members are the same element; botocore leaves this case out too",
    "output/rest-json:RestJsonHttpPayloadTraitsWithNoBlobBody": EMPTY_BYTES,
    "output/rest-json:RestJsonHttpPayloadWithUnsetUnion": "botocore refuses a union without a member, and leaves this case out too",
    "output/rest-json:HttpPrefixHeadersResponse": "an empty prefix also takes the request id's header",
    "output/rest-json:RestJsonInputAndOutputWithQuotedStringHeaders": BOTOCORE_LISTS,
    "output/rest-json:RestJsonInputAndOutputWithTimestampHeaders": BOTOCORE_LISTS,
    "output/rest-xml:HttpPayloadTraitsWithNoBlobBody": EMPTY_BYTES,
    "output/rest-xml:RestXmlHttpPayloadWithUnsetUnion": "botocore refuses a union without a member, and leaves this case out too",
    "output/rest-xml:InputAndOutputWithTimestampHeaders": BOTOCORE_LISTS,
    "output/rest-xml:XmlLists": "two members are the same element; botocore leaves this case out too",
    "output/smithy-rpc-v2-cbor-query-compatible:QueryCompatibleRpcV2CborCustomCodeError": ONE_STATUS,
    "legacy/output/json:3.1": "null in a list: no handler returns one",
    "legacy/output/json:6.0": EVENTS,
    "legacy/output/rest-json:9.0": "an empty prefix also takes the request id's header",
    "legacy/output/rest-json:17.2": "a union's unknown member is the reading client's affair",
    "legacy/output/rest-xml:14.0": EVENTS,
    "legacy/output/rest-xml:14.1": EVENTS,
    "legacy/output/rest-xml:14.2": EVENTS,
    "legacy/output/rest-xml:16.2": "a union's unknown member is the reading client's affair",
}
"""Cases that are not checked, each with its reason. All of the files for ec2 are left out: no codec speaks that protocol."""


@pytest.fixture(scope="module")
def cases() -> Path:
    """The folder of the cases, of the installed version."""
    version = botocore.__version__
    folder = CACHE / f"botocore-{version}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-binary",
            "botocore",
            f"botocore=={version}",
        ]
        try:
            subprocess.run([*command, "-q", "-d", str(CACHE)], check=True, capture_output=True, timeout=90)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"botocore's source distribution cannot be had: {type(error).__name__}")
        with tarfile.open(CACHE / f"botocore-{version}.tar.gz") as archive:
            prefix = f"botocore-{version}/tests/unit/protocols/"
            members = [member for member in archive if member.name.startswith(prefix) and member.isfile()]
            archive.extractall(CACHE / "new", members, filter="data")
        os.replace(CACHE / "new" / f"botocore-{version}", folder)
    return folder / "tests" / "unit" / "protocols"


def each_case(cases: Path, name: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(label, suite, case); the older files have no ids, so those are numbered."""
    suites = json.loads((cases / f"{name}.json").read_text())
    found = []
    for number, suite in enumerate(suites):
        for position, case in enumerate(suite["cases"]):
            found.append((f"{name}:{case.get('id') or f'{number}.{position}'}", suite, case))
    assert found, "a file without cases proves nothing"
    return found


def described(suite: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    name = case["given"].get("name", "OperationName")
    return {**suite, "operations": {name: {"name": name, **case["given"]}}, "cases": None}


def ours(description: dict[str, Any]) -> Operation:
    model = model_of("cases", json.dumps(description).encode())
    (name,) = model.operations
    return model.operations[name]


def native(shape: Shape, traits: Any, value: Any) -> Any:
    """A value of a case as our codecs give it: cases write blobs as text and timestamps as seconds."""
    if value is None or traits.get("document"):
        return value
    if shape.type == "structure":
        members = {key: (shape.members[key], item) for key, item in value.items() if item is not None}
        return {key: native(member.shape, member.traits, item) for key, (member, item) in members.items()}
    if shape.type == "list":
        return [native(shape.item.shape, shape.item.traits, item) for item in value]
    if shape.type == "map":
        return {
            key: native(shape.value.shape, shape.value.traits, item) for key, item in value.items() if item is not None
        }
    if shape.type == "blob":
        return value.encode()
    if shape.type == "timestamp":
        return round(value * 1000)
    return float(value) if shape.type in ("float", "double") else value


def without_empty_lists(operation: Operation, params: dict[str, Any]) -> dict[str, Any]:
    """An empty list or map has no form in a header or query: it is not sent."""

    def is_sent(member: Member, value: Any) -> bool:
        return bool(value) or not isinstance(value, list | dict) or not member.location

    return {key: value for key, value in params.items() if is_sent(operation.input.members[key], value)}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs(cases: Path, name: str) -> None:
    failures = []
    for label, suite, case in each_case(cases, name):
        if label in IGNORED:
            continue
        operation = ours(described(suite, case))
        sent = case["serialized"]
        protocol = suite["metadata"]["protocol"]
        body = sent.get("body", "").encode()
        if protocol == "smithy-rpc-v2-cbor":
            body = base64.b64decode(body)
        path, _, query = sent.get("uri", "/").partition("?")
        headers = {key.lower(): value for key, value in sent.get("headers", {}).items()}
        request = HttpRequest(sent.get("method", "POST"), path, query, headers, body)
        params = native(operation.input, {}, case["params"]) if operation.input else {}
        wanted = without_empty_lists(operation, params) if operation.input else {}
        read = _tried(partial(CODECS[protocol].decode, operation, request, body))
        if repr(_sorted(read)) != repr(_sorted(wanted)):
            failures.append(f"{label}\n  read   {read}\n  wanted {wanted}")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs(cases: Path, name: str) -> None:
    failures = []
    for label, suite, case in each_case(cases, name):
        if label in IGNORED:
            continue
        read, wanted = _tried(partial(_error_read if "error" in case else _output_read, suite, case))
        if repr(_sorted(read)) != repr(_sorted(wanted)):
            failures.append(f"{label}\n  read   {read}\n  wanted {wanted}")
    assert not failures, "\n".join(failures)


def _tried(attempt: Any) -> Any:
    try:
        return attempt()
    except Exception as error:
        return repr(error), "no error"


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _output_read(suite: dict[str, Any], case: dict[str, Any]) -> tuple[Any, Any]:
    description = described(suite, case)
    operation = ours(description)
    protocol = suite["metadata"]["protocol"]
    out = native(operation.output, {}, case["result"]) if operation.output else {}
    response = CODECS[protocol].encode(operation, out, "request-id")
    theirs = OperationModel(case["given"], ServiceModel(description), operation.name).output_shape
    if protocol == "query" and theirs is not None:
        theirs.serialization.setdefault("resultWrapper", f"{operation.name}Result")
    received = {
        "status_code": response.status,
        "headers": HeadersDict(response.headers),
        "body": response.body,
        "context": {},
    }
    read: Any = to_milliseconds(create_parser(protocol).parse(received, theirs))
    read.pop("ResponseMetadata", None)
    if protocol == "json":
        out = special_floats_as_text(out)  # which botocore leaves as they are
    if operation.output is not None:
        # botocore hands on what has no type in JSON as it came: text for a payload's bytes.
        payload = operation.output.traits.get("payload")
        if payload in read and operation.output.members[payload].shape.type == "blob":
            read[payload] = read[payload].encode()
    return read, out


def special_floats_as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: special_floats_as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [special_floats_as_text(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value


def _error_read(suite: dict[str, Any], case: dict[str, Any]) -> tuple[Any, Any]:
    operation = ours(described(suite, case))
    protocol = suite["metadata"]["protocol"]
    error = AwsError(case["errorCode"], case.get("errorMessage", ""), members=case["error"])
    response = CODECS[protocol].encode_error(operation.service, operation, error, "request-id")
    received = {
        "status_code": response.status,
        "headers": HeadersDict(response.headers),
        "body": response.body,
        "context": {},
    }
    read = create_parser(protocol).parse(received, None)["Error"]
    return (
        (read["Code"], read["Message"] or "", response.status),
        (case["errorCode"], case.get("errorMessage", ""), case["response"]["status_code"]),
    )


def test_ignored_cases_exist(cases: Path) -> None:
    """A line of the list that names nothing hides nothing, and goes."""
    known = {label for name in (*INPUTS, *OUTPUTS) for label, _, _ in each_case(cases, name)}
    assert set(IGNORED) <= known
