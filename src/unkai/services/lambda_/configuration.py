"""What a version is configured to be: checked, merged and shown. Pure.

https://docs.aws.amazon.com/lambda/latest/api/API_FunctionConfiguration.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from unkai.kernel.clock import iso8601
from unkai.services.lambda_ import errors, limits
from unkai.services.lambda_.names import LATEST
from unkai.services.lambda_.packages import shown_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unkai.services.lambda_.rows import FunctionRow, VersionRow

SETTABLE = (
    "Runtime",
    "Role",
    "Handler",
    "Description",
    "Timeout",
    "MemorySize",
    "VpcConfig",
    "DeadLetterConfig",
    "Environment",
    "KMSKeyArn",
    "TracingConfig",
    "EphemeralStorage",
    "SnapStart",
    "LoggingConfig",
)
UNSUPPORTED = (
    "ImageConfig",
    "FileSystemConfigs",
    "CapacityProviderConfig",
    "DurableConfig",
    "TenancyConfig",
    "AcceleratorConfig",
    "RuntimeConfig",
)


def check(inp: Mapping[str, Any], runtimes: Sequence[str]) -> None:
    """Refuse what CreateFunction and UpdateFunctionConfiguration refuse beyond the model."""
    if inp.get("PackageType", "Zip") != "Zip":
        raise errors.unsupported("container images (PackageType Image)")
    for member in UNSUPPORTED:
        if inp.get(member):
            raise errors.unsupported(member)
    for name, value, limit in (
        ("memorySize", inp.get("MemorySize"), limits.MEMORY_MB_MAX),
        ("timeout", inp.get("Timeout"), limits.TIMEOUT_S_MAX),
        ("ephemeralStorage.size", inp.get("EphemeralStorage", {}).get("Size"), limits.STORAGE_MB_MAX),
    ):
        if value is not None and value > limit:
            raise errors.out_of_range(name, value, f"Member must have value less than or equal to {limit}")
    if "Runtime" in inp and inp["Runtime"] not in runtimes:
        raise errors.unknown_runtime(inp["Runtime"], runtimes)
    if len(inp.get("Layers", ())) > limits.LAYERS_MAX:
        raise errors.invalid_parameter("Cannot reference more than 5 layers.")
    _check_environment(inp.get("Environment", {}).get("Variables", {}))
    _check_dead_letter(inp.get("DeadLetterConfig", {}).get("TargetArn", ""))


def _check_environment(variables: Mapping[str, str]) -> None:
    prefix = (
        "Lambda was unable to configure your environment variables because the environment variables you have provided"
    )
    reserved = sorted(limits.RESERVED_VARIABLES & variables.keys())
    if reserved:
        raise errors.invalid_parameter(
            f"{prefix} contains reserved keys that are currently not supported for modification. Reserved keys used in "
            f"this request: {', '.join(reserved)}"
        )
    text = json.dumps(dict(variables), separators=(",", ":"), ensure_ascii=False)
    if variables and len(text.encode()) > limits.ENVIRONMENT_SIZE_BYTES_MAX:
        raise errors.invalid_parameter(f"{prefix} exceeded the 4KB limit. String measured: {text[:4096]}")


def _check_dead_letter(target: str) -> None:
    if target and target.split(":")[2:3] not in (["sqs"], ["sns"]):
        raise errors.invalid_parameter(
            f"The provided dead letter config target {target} is not an SQS queue or SNS topic."
        )


def new_config(inp: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a function that is created: what was given, and AWS's defaults."""
    defaults: dict[str, Any] = {
        "Handler": limits.DEFAULT_HANDLER,
        "Description": "",
        "Timeout": limits.DEFAULT_TIMEOUT_S,
        "MemorySize": limits.DEFAULT_MEMORY_MB,
        "TracingConfig": {"Mode": "PassThrough"},
        "EphemeralStorage": {"Size": limits.DEFAULT_STORAGE_MB},
        "Architectures": ["x86_64"],
    }
    return merged(defaults, inp) | {"Architectures": inp.get("Architectures") or ["x86_64"]}


def merged(config: Mapping[str, Any], inp: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with what `inp` sets. An empty structure or text takes a setting away."""
    out = dict(config)
    for member in SETTABLE:
        if member in inp:
            out[member] = inp[member]
    for member in ("KMSKeyArn", "DeadLetterConfig", "VpcConfig"):
        if not any(out[member].values() if isinstance(out.get(member), dict) else [out.get(member)]):
            out.pop(member, None)
    if not out.get("Environment", {}).get("Variables"):
        out.pop("Environment", None)
    return out


def modified(ms: int) -> str:
    """`2026-01-31T12:00:00.000+0000`: how Lambda writes LastModified."""
    return f"{iso8601(ms)[:-1]}+0000"


def show(function: FunctionRow, version: VersionRow, *, arn: str, updating: str = "") -> dict[str, Any]:
    """FunctionConfiguration. `updating` is Creating or Updating in the answer to what has just changed it."""
    config = version.config
    out = {key: value for key, value in config.items() if key not in ("VpcConfig", "SnapStart", "LoggingConfig")}
    out |= {
        "FunctionName": function.name,
        "FunctionArn": arn,
        "Version": version.version,
        "CodeSize": version.code.size_bytes,
        "CodeSha256": shown_sha256(version.code),
        "LastModified": modified(version.modified_ms),
        "RevisionId": version.revision,
        "PackageType": "Zip",
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "SnapStart": {"ApplyOn": config.get("SnapStart", {}).get("ApplyOn", "None"), "OptimizationStatus": "Off"},
        "RuntimeVersionConfig": {"RuntimeVersionArn": runtime_version_arn(function.region, config["Runtime"])},
        "LoggingConfig": _logging(function, config),
    }
    if version.layers:
        out["Layers"] = [{"Arn": layer.arn, "CodeSize": layer.size_bytes} for layer in version.layers]
    if "VpcConfig" in config:
        out["VpcConfig"] = {"SubnetIds": [], "SecurityGroupIds": [], "VpcId": "", **config["VpcConfig"]}
    if updating == "Creating":
        out |= {
            "State": "Pending",
            "StateReason": "The function is being created.",
            "StateReasonCode": "Creating",
        }
        del out["LastUpdateStatus"]
    elif updating:
        out |= {
            "LastUpdateStatus": "InProgress",
            "LastUpdateStatusReason": "The function is being created.",
            "LastUpdateStatusReasonCode": "Creating",
        }
    return out


def _logging(function: FunctionRow, config: Mapping[str, Any]) -> dict[str, str]:
    given = config.get("LoggingConfig", {})
    out = {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{function.name}", **given}
    if out["LogFormat"] == "JSON":
        out = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", **out}
    return out


def runtime_version_arn(region: str, runtime: str) -> str:
    return f"arn:aws:lambda:{region}::runtime:{runtime}"


def is_same(one: VersionRow, other: VersionRow) -> bool:
    """Whether publishing `one` after `other` would publish nothing new."""
    return (one.code.sha256, one.layers, _published(one.config)) == (
        other.code.sha256,
        other.layers,
        _published(other.config),
    )


def _published(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "Description"}


def shown_arn(function: FunctionRow, version: VersionRow) -> str:
    arn = f"arn:aws:lambda:{function.region}:{function.account}:function:{function.name}"
    return arn if version.version == LATEST else f"{arn}:{version.version}"
