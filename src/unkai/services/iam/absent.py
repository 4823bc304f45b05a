"""What unkai's IAM has none of, and says so: passwords, MFA devices, certificates, SSH keys, identity providers.

Terraform asks for all of these before it deletes a user. Making one answers "not implemented"; so every list is truly empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkai.services.iam import entities, errors
from unkai.services.iam.entities import USER
from unkai.services.iam.users import user_name

if TYPE_CHECKING:
    from unkai.kernel.ctx import Ctx
    from unkai.store.api import ReadTx


async def _of_user(ctx: Ctx, tx: ReadTx, inp: dict[str, Any], member: str) -> dict[str, Any]:
    if name := user_name(ctx, inp):
        await entities.load(ctx, tx, USER, name)
    return {member: [], "IsTruncated": False}


async def list_mfa_devices(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _of_user(ctx, tx, inp, "MFADevices")


async def list_ssh_public_keys(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _of_user(ctx, tx, inp, "SSHPublicKeys")


async def list_signing_certificates(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _of_user(ctx, tx, inp, "Certificates")


async def list_service_specific_credentials(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await _of_user(ctx, tx, inp, "ServiceSpecificCredentials")


async def list_virtual_mfa_devices(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return {"VirtualMFADevices": [], "IsTruncated": False}


async def list_server_certificates(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return {"ServerCertificateMetadataList": [], "IsTruncated": False}


async def list_open_id_connect_providers(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return {"OpenIDConnectProviderList": []}


async def list_saml_providers(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return {"SAMLProviderList": []}


async def get_login_profile(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    name = user_name(ctx, inp)
    if name:
        await entities.load(ctx, tx, USER, name)
    raise errors.no_login_profile(name)


async def delete_login_profile(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    return await get_login_profile(ctx, tx, inp)


async def get_account_password_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    raise errors.no_password_policy(ctx.account)


async def delete_account_password_policy(ctx: Ctx, tx: ReadTx, inp: dict[str, Any]) -> dict[str, Any]:
    raise errors.no_password_policy(ctx.account)
