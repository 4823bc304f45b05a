"""Python functions: what they see, and what callers and logs see of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from unkai.runtime import languages
from unkai.runtime.api import UnknownRuntime

if TYPE_CHECKING:
    from tests.runtime.conftest import Node

PYTHONS = sorted(name for name in languages.available() if name.startswith("python"))


@pytest.mark.parametrize("runtime", PYTHONS)
def test_every_python_found_runs_a_handler(node: Node, runtime: str) -> None:
    # One bootstrap serves all versions; boto3 is there as on AWS, and its module lies where AWS has it.
    spec = node.function(
        "import sys, boto3\ndef handler(event, context): return [event, sys.version_info[:2], boto3.__file__]",
        runtime=runtime,
    )
    event, version, file = node.value(spec, {"a": 1})
    assert event == {"a": 1}
    assert version == [3, int(runtime.removeprefix("python3."))]
    assert file.startswith("/var/runtime/boto3/")


def test_a_runtime_that_is_not_here_is_refused_by_name(node: Node) -> None:
    spec = node.function("", runtime="java21")
    with pytest.raises(UnknownRuntime, match="java21"):
        node.invoke(spec)


def test_context_object(node: Node) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    spec = node.function(
        """
def handler(event, context):
    return {
        "name": context.function_name, "version": context.function_version, "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb, "id": context.aws_request_id, "group": context.log_group_name,
        "stream": context.log_stream_name, "left": context.get_remaining_time_in_millis(),
        "custom": context.client_context.custom, "title": context.client_context.client.app_title,
        "identity": context.identity.cognito_identity_id,
    }
""",
        memory_mb=192,
    )
    invocation = node.invocation(spec, {}, client_context='{"custom": {"k": "雲海"}, "client": {"app_title": "t"}}')
    got = json.loads(node.run(node.client.invoke(spec, invocation)).payload)
    assert got["name"] == spec.name
    assert got["version"] == "$LATEST"
    assert got["arn"] == spec.arn
    assert got["memory"] == "192"
    assert got["id"] == invocation.request_id
    assert got["group"] == f"/aws/lambda/{spec.name}"
    assert "/[$LATEST]" in got["stream"]
    assert 0 < got["left"] <= 10_000
    assert (got["custom"], got["title"], got["identity"]) == ({"k": "雲海"}, "t", None)


def test_environment_variables(node: Node) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html; the function's own come on top of defaults,
    # and nothing of the host's environment is inherited.
    spec = node.function(
        "import os\ndef handler(event, context): return dict(os.environ)", environment={"MINE": "1", "TZ": "Asia/Tokyo"}
    )
    trace = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"
    got = node.value(spec, None, trace_header=trace)
    expected = {
        "MINE": "1",
        "TZ": "Asia/Tokyo",
        "_HANDLER": "app.handler",
        "_X_AMZN_TRACE_ID": trace,
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SESSION_TOKEN": "token",
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LANG": "en_US.UTF-8",
    }
    assert {name: got.get(name) for name in expected} == expected
    assert "HOME" not in got


def test_a_package_may_bring_its_own_sdk(node: Node) -> None:
    # A top-level module that the fork server has preloaded must come from the package instead.
    spec = node.function(
        {"app.py": "import boto3\ndef handler(e, c): return boto3.MARK", "boto3/__init__.py": "MARK = 'mine'"}
    )
    assert node.value(spec) == "mine"


def test_layers_lie_in_opt_in_order(node: Node) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html: later layers overwrite earlier ones; python/ is importable.
    first = node.code({"python/lib1.py": "WHO = 'first'", "data.txt": "first"})
    second = node.code({"data.txt": "second"})
    source = "import lib1\ndef handler(e, c): return [lib1.WHO, open('/opt/data.txt').read()]"
    assert node.value(node.function(source, layers=(first, second))) == ["first", "second"]


def test_an_exception_becomes_the_error_document_and_a_log_event(node: Node) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
    spec = node.function("def handler(event, context):\n    raise ValueError('no good')\n")
    result = node.invoke(spec)
    document = json.loads(result.payload)
    assert result.function_error == "Unhandled"
    assert (document["errorType"], document["errorMessage"]) == ("ValueError", "no good")
    assert document["requestId"]
    assert document["stackTrace"] == [
        "  File \"/var/task/app.py\", line 2, in handler\n    raise ValueError('no good')\n"
    ]
    (line,) = [line for line in node.logged(spec, "[ERROR]") if "[ERROR]" in line]
    assert line.startswith("[ERROR] ValueError: no good\nTraceback (most recent call last):\n")
    # The environment survives a failed event.
    assert node.invoke(spec).report.init_duration_ms is None


@pytest.mark.parametrize(
    ("files", "handler", "kind", "text"),
    [
        (
            {"app.py": "import nowhere"},
            "app.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'nowhere'",
        ),
        ({"app.py": "x = 1"}, "app.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        ({"app.py": "def f(:"}, "app.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app'"),
        ({"app.py": ""}, "app", "Runtime.MalformedHandlerName", "Bad handler 'app': not enough values to unpack"),
        ({"app.py": "1/0"}, "app.handler", "ZeroDivisionError", "division by zero"),
        (
            {"app.py": "import sys; sys.exit(3)"},
            "app.handler",
            "Runtime.ExitError",
            "Runtime exited with error: exit status 3",
        ),
    ],
)
def test_a_failing_init(node: Node, files: dict[str, str | bytes], handler: str, kind: str, text: str) -> None:
    spec = node.function(files, handler=handler)
    result = node.invoke(spec)
    document = json.loads(result.payload)
    assert result.function_error == "Unhandled"
    assert document["errorType"] == kind
    assert text in document["errorMessage"]
    assert f"Phase: init\tStatus: error\tError Type: {kind}" in "\n".join(node.logged(spec, "INIT_REPORT"))


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (
            "return {1, 2}",
            "Runtime.MarshalError",
            "Unable to marshal response: Object of type set is not JSON serializable",
        ),
        ("raise SystemExit(0)", "Runtime.ExitError", "Runtime exited without providing a reason"),
        ("import os; os._exit(7)", "Runtime.ExitError", "Runtime exited with error: exit status 7"),
        ("import os; os.kill(os.getpid(), 9)", "Runtime.ExitError", "Runtime exited with error: signal: killed"),
        (
            "import ctypes; ctypes.string_at(0)",
            "Runtime.ExitError",
            "Runtime exited with error: signal: segmentation fault",
        ),
        (
            "return 'x' * 7_000_000",
            "Function.ResponseSizeTooLarge",
            "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        ),
    ],
)
def test_a_failing_event(node: Node, body: str, kind: str, text: str) -> None:
    spec = node.function(f"def handler(event, context):\n    {body}\n", memory_mb=256)
    result = node.invoke(spec)
    document = json.loads(result.payload)
    assert result.function_error == "Unhandled"
    assert (document["errorType"], text in document["errorMessage"]) == (kind, True)


def test_log_lines_have_the_documented_form(node: Node) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-view.html
    spec = node.function(
        "import logging\nlogging.getLogger().setLevel('INFO')\n"
        "def handler(e, c):\n    print('one')\n    logging.info('two\\nlines')\n    print('unended', end='')"
    )
    invocation = node.invocation(spec)
    result = node.run(node.client.invoke(spec, invocation))
    lines = node.logged(spec, "REPORT")
    assert lines[0].startswith("INIT_START Runtime Version: python:3.12.v")
    assert lines[1] == f"START RequestId: {invocation.request_id} Version: $LATEST"
    assert lines[2] == "one"
    assert lines[3].startswith("[INFO]\t")
    assert lines[3].endswith(f"Z\t{invocation.request_id}\ttwo\nlines")
    assert lines[4] == "unended"
    assert lines[5] == f"END RequestId: {invocation.request_id}"
    assert lines[6].startswith(f"REPORT RequestId: {invocation.request_id}\tDuration: ")
    assert "\tMemory Size: 128 MB\tMax Memory Used: " in lines[6]
    assert "\tInit Duration: " in lines[6]
    assert result.log_tail.decode() == "\n".join(lines[1:]) + "\n"


def test_json_log_format(node: Node) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
    spec = node.function("import logging\ndef handler(e, c): logging.warning('hm')", log_format="JSON")
    node.invoke(spec)
    lines = [json.loads(line) for line in node.logged(spec, "platform.report")]
    assert [line.get("type", line.get("level")) for line in lines][:3] == [
        "platform.initStart",
        "platform.initRuntimeDone",
        "platform.initReport",
    ]
    (warning,) = [line for line in lines if line.get("level")]
    assert (warning["level"], warning["message"]) == ("WARNING", "hm")
    assert lines[-1]["record"]["metrics"]["memorySizeMB"] == 128


def test_interpreter_options_that_a_fork_cannot_honour_start_a_fresh_one(node: Node) -> None:
    spec = node.function(
        "import sys\ndef handler(e, c): return sys.flags.optimize", environment={"PYTHONOPTIMIZE": "2"}
    )
    assert node.value(spec) == 2


def test_hash_and_random_differ_between_environments(node: Node) -> None:
    # Forked from one parent, environments must not share a random state.
    source = "import random, uuid\nx = [random.random(), str(uuid.uuid4())]\ndef handler(e, c): return x"
    first, second = (node.value(node.function(source)) for _ in range(2))
    assert first[0] != second[0]
    assert first[1] != second[1]
