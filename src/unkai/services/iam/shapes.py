"""Rows in AWS's members. Policy documents go out percent-encoded, as IAM does (RFC 3986)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from unkai.services.iam.entities import GROUP, POLICY, PROFILE, ROLE, USER, arn_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unkai.services.iam import rows
    from unkai.services.iam.entities import Holder


def encoded(document: str) -> str:
    return quote(document, safe="")


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _more(row: rows.UserRow | rows.RoleRow) -> dict[str, Any]:
    """What lists leave out."""
    out: dict[str, Any] = {}
    if row.boundary:
        out["PermissionsBoundary"] = {
            "PermissionsBoundaryType": "Policy",
            "PermissionsBoundaryArn": row.boundary,
        }
    if row.tags:
        out["Tags"] = tag_list(row.tags)
    return out


def user(account: str, row: rows.UserRow, *, whole: bool = True) -> dict[str, Any]:
    out = {
        "Path": row.path,
        "UserName": row.name,
        "UserId": row.id,
        "Arn": arn_of(account, USER, row),
        "CreateDate": row.created_ms,
    }
    return out | _more(row) if whole else out


def group(account: str, row: rows.GroupRow) -> dict[str, Any]:
    return {
        "Path": row.path,
        "GroupName": row.name,
        "GroupId": row.id,
        "Arn": arn_of(account, GROUP, row),
        "CreateDate": row.created_ms,
    }


def role(account: str, row: rows.RoleRow, *, whole: bool = True) -> dict[str, Any]:
    out: dict[str, Any] = {
        "Path": row.path,
        "RoleName": row.name,
        "RoleId": row.id,
        "Arn": arn_of(account, ROLE, row),
        "CreateDate": row.created_ms,
        "AssumeRolePolicyDocument": encoded(row.trust),
        "MaxSessionDuration": row.session_s_max,
    }
    if row.description:
        out["Description"] = row.description
    return out | _more(row) if whole else out


def profile(account: str, row: rows.ProfileRow, holds: rows.RoleRow | None, *, whole: bool = True) -> dict[str, Any]:
    out: dict[str, Any] = {
        "Path": row.path,
        "InstanceProfileName": row.name,
        "InstanceProfileId": row.id,
        "Arn": arn_of(account, PROFILE, row),
        "CreateDate": row.created_ms,
        "Roles": [role(account, holds, whole=False)] if holds is not None else [],
    }
    if whole and row.tags:
        out["Tags"] = tag_list(row.tags)
    return out


def policy(owner: str, row: rows.PolicyRow, attached: int, bounds: int, *, whole: bool = True) -> dict[str, Any]:
    out: dict[str, Any] = {
        "PolicyName": row.name,
        "PolicyId": row.id,
        "Arn": arn_of(owner, POLICY, row),
        "Path": row.path,
        "DefaultVersionId": f"v{row.default}",
        "AttachmentCount": attached,
        "PermissionsBoundaryUsageCount": bounds,
        "IsAttachable": True,
        "CreateDate": row.created_ms,
        "UpdateDate": row.updated_ms,
    }
    if whole:
        if row.description:
            out["Description"] = row.description
        if row.tags:
            out["Tags"] = tag_list(row.tags)
    return out


def version(row: rows.PolicyRow, number: int, *, whole: bool = True) -> dict[str, Any]:
    found = row.versions[number]
    out: dict[str, Any] = {
        "VersionId": f"v{number}",
        "IsDefaultVersion": number == row.default,
        "CreateDate": found.created_ms,
    }
    return {"Document": encoded(found.document), **out} if whole else out


def attached_policies(row: Holder) -> list[dict[str, str]]:
    return [{"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn} for arn in row.attached]


def inline_policies(row: Holder) -> list[dict[str, str]]:
    return [{"PolicyName": name, "PolicyDocument": encoded(text)} for name, text in sorted(row.inline.items())]
