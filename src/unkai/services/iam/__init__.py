"""AWS Identity and Access Management, and the Security Token Service, which share their data.

https://docs.aws.amazon.com/IAM/latest/APIReference/welcome.html
https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html
"""

from unkai.kernel.service import Service, on_any, read, write
from unkai.kernel.wording import Wording
from unkai.services.iam import (
    absent,
    access_keys,
    account,
    arns,
    attachments,
    groups,
    identity,
    inline,
    invariants,
    policies,
    profiles,
    roles,
    sessions,
    simulate,
    tags,
    trust,
    users,
)
from unkai.services.iam.arns import on_named, on_policy, on_service_role, on_source, on_user
from unkai.services.iam.entities import GROUP, POLICY, PROFILE, ROLE, USER

_WORDING = Wording("ValidationError")

_USERS = {
    "CreateUser": write(users.create_user, on_named("iam:CreateUser", USER)),
    "GetUser": read(users.get_user, on_user("iam:GetUser")),
    "DeleteUser": write(users.delete_user, on_named("iam:DeleteUser", USER)),
    "ListUsers": read(users.list_users, on_any("iam:ListUsers")),
    "UpdateUser": write(users.update_user, on_named("iam:UpdateUser", USER)),
    "CreateAccessKey": write(access_keys.create_access_key, on_user("iam:CreateAccessKey")),
    "ListAccessKeys": read(access_keys.list_access_keys, on_user("iam:ListAccessKeys")),
    "UpdateAccessKey": write(access_keys.update_access_key, on_user("iam:UpdateAccessKey")),
    "DeleteAccessKey": write(access_keys.delete_access_key, on_user("iam:DeleteAccessKey")),
    "GetAccessKeyLastUsed": read(access_keys.get_access_key_last_used, on_any("iam:GetAccessKeyLastUsed")),
}
_GROUPS = {
    "CreateGroup": write(groups.create_group, on_named("iam:CreateGroup", GROUP)),
    "GetGroup": read(groups.get_group, on_named("iam:GetGroup", GROUP)),
    "DeleteGroup": write(groups.delete_group, on_named("iam:DeleteGroup", GROUP)),
    "ListGroups": read(groups.list_groups, on_any("iam:ListGroups")),
    "ListGroupsForUser": read(groups.list_groups_for_user, on_named("iam:ListGroupsForUser", USER)),
    "UpdateGroup": write(groups.update_group, on_named("iam:UpdateGroup", GROUP)),
    "AddUserToGroup": write(groups.add_user_to_group, on_named("iam:AddUserToGroup", GROUP)),
    "RemoveUserFromGroup": write(groups.remove_user_from_group, on_named("iam:RemoveUserFromGroup", GROUP)),
}
_ROLES = {
    "CreateRole": write(roles.create_role, on_named("iam:CreateRole", ROLE)),
    "GetRole": read(roles.get_role, on_named("iam:GetRole", ROLE)),
    "DeleteRole": write(roles.delete_role, on_named("iam:DeleteRole", ROLE)),
    "ListRoles": read(roles.list_roles, on_any("iam:ListRoles")),
    "UpdateRole": write(roles.update_role, on_named("iam:UpdateRole", ROLE)),
    "UpdateRoleDescription": write(roles.update_role_description, on_named("iam:UpdateRoleDescription", ROLE)),
    "UpdateAssumeRolePolicy": write(roles.update_assume_role_policy, on_named("iam:UpdateAssumeRolePolicy", ROLE)),
    "CreateServiceLinkedRole": write(roles.create_service_linked_role, on_service_role("iam:CreateServiceLinkedRole")),
    "DeleteServiceLinkedRole": write(roles.delete_service_linked_role, on_named("iam:DeleteServiceLinkedRole", ROLE)),
    "GetServiceLinkedRoleDeletionStatus": read(
        roles.get_service_linked_role_deletion_status, on_any("iam:GetServiceLinkedRoleDeletionStatus")
    ),
    "CreateInstanceProfile": write(profiles.create_instance_profile, on_named("iam:CreateInstanceProfile", PROFILE)),
    "GetInstanceProfile": read(profiles.get_instance_profile, on_named("iam:GetInstanceProfile", PROFILE)),
    "DeleteInstanceProfile": write(profiles.delete_instance_profile, on_named("iam:DeleteInstanceProfile", PROFILE)),
    "ListInstanceProfiles": read(profiles.list_instance_profiles, on_any("iam:ListInstanceProfiles")),
    "ListInstanceProfilesForRole": read(
        profiles.list_instance_profiles_for_role, on_named("iam:ListInstanceProfilesForRole", ROLE)
    ),
    "AddRoleToInstanceProfile": write(profiles.add_role_to_instance_profile, arns.add_role_access),
    "RemoveRoleFromInstanceProfile": write(
        profiles.remove_role_from_instance_profile, on_named("iam:RemoveRoleFromInstanceProfile", PROFILE)
    ),
}
_POLICIES = {
    "CreatePolicy": write(policies.create_policy, on_named("iam:CreatePolicy", POLICY)),
    "GetPolicy": read(policies.get_policy, on_policy("iam:GetPolicy")),
    "DeletePolicy": write(policies.delete_policy, on_policy("iam:DeletePolicy")),
    "ListPolicies": read(policies.list_policies, on_any("iam:ListPolicies")),
    "CreatePolicyVersion": write(policies.create_policy_version, on_policy("iam:CreatePolicyVersion")),
    "GetPolicyVersion": read(policies.get_policy_version, on_policy("iam:GetPolicyVersion")),
    "ListPolicyVersions": read(policies.list_policy_versions, on_policy("iam:ListPolicyVersions")),
    "DeletePolicyVersion": write(policies.delete_policy_version, on_policy("iam:DeletePolicyVersion")),
    "SetDefaultPolicyVersion": write(policies.set_default_policy_version, on_policy("iam:SetDefaultPolicyVersion")),
    "ListEntitiesForPolicy": read(attachments.list_entities_for_policy, on_policy("iam:ListEntitiesForPolicy")),
    "AttachUserPolicy": write(attachments.attach_user_policy, on_named("iam:AttachUserPolicy", USER)),
    "AttachGroupPolicy": write(attachments.attach_group_policy, on_named("iam:AttachGroupPolicy", GROUP)),
    "AttachRolePolicy": write(attachments.attach_role_policy, on_named("iam:AttachRolePolicy", ROLE)),
    "DetachUserPolicy": write(attachments.detach_user_policy, on_named("iam:DetachUserPolicy", USER)),
    "DetachGroupPolicy": write(attachments.detach_group_policy, on_named("iam:DetachGroupPolicy", GROUP)),
    "DetachRolePolicy": write(attachments.detach_role_policy, on_named("iam:DetachRolePolicy", ROLE)),
    "ListAttachedUserPolicies": read(
        attachments.list_attached_user_policies, on_named("iam:ListAttachedUserPolicies", USER)
    ),
    "ListAttachedGroupPolicies": read(
        attachments.list_attached_group_policies, on_named("iam:ListAttachedGroupPolicies", GROUP)
    ),
    "ListAttachedRolePolicies": read(
        attachments.list_attached_role_policies, on_named("iam:ListAttachedRolePolicies", ROLE)
    ),
    "PutUserPermissionsBoundary": write(
        attachments.put_user_permissions_boundary, on_named("iam:PutUserPermissionsBoundary", USER)
    ),
    "PutRolePermissionsBoundary": write(
        attachments.put_role_permissions_boundary, on_named("iam:PutRolePermissionsBoundary", ROLE)
    ),
    "DeleteUserPermissionsBoundary": write(
        attachments.delete_user_permissions_boundary, on_named("iam:DeleteUserPermissionsBoundary", USER)
    ),
    "DeleteRolePermissionsBoundary": write(
        attachments.delete_role_permissions_boundary, on_named("iam:DeleteRolePermissionsBoundary", ROLE)
    ),
    "PutUserPolicy": write(inline.put_user_policy, on_named("iam:PutUserPolicy", USER)),
    "PutGroupPolicy": write(inline.put_group_policy, on_named("iam:PutGroupPolicy", GROUP)),
    "PutRolePolicy": write(inline.put_role_policy, on_named("iam:PutRolePolicy", ROLE)),
    "GetUserPolicy": read(inline.get_user_policy, on_named("iam:GetUserPolicy", USER)),
    "GetGroupPolicy": read(inline.get_group_policy, on_named("iam:GetGroupPolicy", GROUP)),
    "GetRolePolicy": read(inline.get_role_policy, on_named("iam:GetRolePolicy", ROLE)),
    "DeleteUserPolicy": write(inline.delete_user_policy, on_named("iam:DeleteUserPolicy", USER)),
    "DeleteGroupPolicy": write(inline.delete_group_policy, on_named("iam:DeleteGroupPolicy", GROUP)),
    "DeleteRolePolicy": write(inline.delete_role_policy, on_named("iam:DeleteRolePolicy", ROLE)),
    "ListUserPolicies": read(inline.list_user_policies, on_named("iam:ListUserPolicies", USER)),
    "ListGroupPolicies": read(inline.list_group_policies, on_named("iam:ListGroupPolicies", GROUP)),
    "ListRolePolicies": read(inline.list_role_policies, on_named("iam:ListRolePolicies", ROLE)),
}
_TAGS = {
    "TagUser": write(tags.tag_user, on_named("iam:TagUser", USER)),
    "TagRole": write(tags.tag_role, on_named("iam:TagRole", ROLE)),
    "TagPolicy": write(tags.tag_policy, on_policy("iam:TagPolicy")),
    "TagInstanceProfile": write(tags.tag_instance_profile, on_named("iam:TagInstanceProfile", PROFILE)),
    "UntagUser": write(tags.untag_user, on_named("iam:UntagUser", USER)),
    "UntagRole": write(tags.untag_role, on_named("iam:UntagRole", ROLE)),
    "UntagPolicy": write(tags.untag_policy, on_policy("iam:UntagPolicy")),
    "UntagInstanceProfile": write(tags.untag_instance_profile, on_named("iam:UntagInstanceProfile", PROFILE)),
    "ListUserTags": read(tags.list_user_tags, on_named("iam:ListUserTags", USER)),
    "ListRoleTags": read(tags.list_role_tags, on_named("iam:ListRoleTags", ROLE)),
    "ListPolicyTags": read(tags.list_policy_tags, on_policy("iam:ListPolicyTags")),
    "ListInstanceProfileTags": read(tags.list_instance_profile_tags, on_named("iam:ListInstanceProfileTags", PROFILE)),
}
_ACCOUNT = {
    "CreateAccountAlias": write(account.create_account_alias, on_any("iam:CreateAccountAlias")),
    "DeleteAccountAlias": write(account.delete_account_alias, on_any("iam:DeleteAccountAlias")),
    "ListAccountAliases": read(account.list_account_aliases, on_any("iam:ListAccountAliases")),
    "GetAccountSummary": read(account.get_account_summary, on_any("iam:GetAccountSummary")),
    "GetAccountAuthorizationDetails": read(
        account.get_account_authorization_details, on_any("iam:GetAccountAuthorizationDetails")
    ),
    "SimulateCustomPolicy": read(simulate.simulate_custom_policy, on_any("iam:SimulateCustomPolicy")),
    "SimulatePrincipalPolicy": read(simulate.simulate_principal_policy, on_source("iam:SimulatePrincipalPolicy")),
    "GetContextKeysForCustomPolicy": read(
        simulate.get_context_keys_for_custom_policy, on_any("iam:GetContextKeysForCustomPolicy")
    ),
    "GetContextKeysForPrincipalPolicy": read(
        simulate.get_context_keys_for_principal_policy, on_source("iam:GetContextKeysForPrincipalPolicy")
    ),
}
_ABSENT = {
    "ListMFADevices": read(absent.list_mfa_devices, on_user("iam:ListMFADevices")),
    "ListSSHPublicKeys": read(absent.list_ssh_public_keys, on_user("iam:ListSSHPublicKeys")),
    "ListSigningCertificates": read(absent.list_signing_certificates, on_user("iam:ListSigningCertificates")),
    "ListServiceSpecificCredentials": read(
        absent.list_service_specific_credentials, on_user("iam:ListServiceSpecificCredentials")
    ),
    "ListVirtualMFADevices": read(absent.list_virtual_mfa_devices, on_any("iam:ListVirtualMFADevices")),
    "ListServerCertificates": read(absent.list_server_certificates, on_any("iam:ListServerCertificates")),
    "ListOpenIDConnectProviders": read(absent.list_open_id_connect_providers, on_any("iam:ListOpenIDConnectProviders")),
    "ListSAMLProviders": read(absent.list_saml_providers, on_any("iam:ListSAMLProviders")),
    "GetLoginProfile": read(absent.get_login_profile, on_user("iam:GetLoginProfile")),
    "DeleteLoginProfile": read(absent.delete_login_profile, on_user("iam:DeleteLoginProfile")),
    "GetAccountPasswordPolicy": read(absent.get_account_password_policy, on_any("iam:GetAccountPasswordPolicy")),
    "DeleteAccountPasswordPolicy": read(
        absent.delete_account_password_policy, on_any("iam:DeleteAccountPasswordPolicy")
    ),
}

IAM = Service(
    name="iam",
    prefix="iam",
    operations={**_USERS, **_GROUPS, **_ROLES, **_POLICIES, **_TAGS, **_ACCOUNT, **_ABSENT},
    steps=(identity.bootstrap, access_keys.record_key_use),
    complete=arns.complete,
    wording=_WORDING,
    invariants=(invariants.check,),
)

STS = Service(
    name="sts",
    prefix="sts",
    operations={
        "AssumeRole": read(sessions.assume_role, sessions.assume_role_access),
        "DecodeAuthorizationMessage": read(
            sessions.decode_authorization_message, on_any("sts:DecodeAuthorizationMessage")
        ),
        "GetAccessKeyInfo": read(sessions.get_access_key_info, on_any("sts:GetAccessKeyInfo")),
        "GetCallerIdentity": read(sessions.get_caller_identity, None),
        "GetFederationToken": read(sessions.get_federation_token, sessions.federation_access),
        "GetSessionToken": read(sessions.get_session_token, None),
    },
    resource_policy=trust.resource_policy,
    resource_policy_kind="trust",
    complete=arns.complete,
    wording=_WORDING,
)

SERVICES = (IAM, STS)
