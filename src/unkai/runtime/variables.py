"""The environment variables that functions and extensions see. Pure.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.runtime.api import FunctionSpec

# Extensions do not get these: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
_RUNTIME_ONLY = ("AWS_EXECUTION_ENV", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_XRAY_CONTEXT_MISSING",
                 "AWS_XRAY_DAEMON_ADDRESS", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "_AWS_XRAY_DAEMON_ADDRESS",
                 "_AWS_XRAY_DAEMON_PORT", "_HANDLER")  # fmt: skip


def function_variables(
    spec: FunctionSpec, language: Mapping[str, str], log_stream: str, runtime_api: str, endpoint: str, proxy: str
) -> dict[str, str]:
    """Defaults, then the language's, then the function's own, then what Lambda reserves."""
    credentials = spec.credentials
    defaults = {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129:2000",
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129",
        "_AWS_XRAY_DAEMON_PORT": "2000",
    }
    if proxy:
        defaults |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)
        defaults |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost,169.254.169.254")
        defaults["NODE_USE_ENV_PROXY"] = "1"  # Node.js 22.21 and 24: fetch goes by the variables, too
    reserved = {
        "_HANDLER": spec.handler,
        "AWS_REGION": spec.region,
        "AWS_DEFAULT_REGION": spec.region,
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": spec.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": spec.log_group or f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_SESSION_TOKEN": credentials.session_token,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
    }
    if spec.log_format == "JSON":
        reserved["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
    if spec.application_log_level:
        reserved["AWS_LAMBDA_LOG_LEVEL"] = spec.application_log_level
    return {**defaults, **language, **spec.environment, **reserved}


def extension_variables(function: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in function.items() if name not in _RUNTIME_ONLY}
