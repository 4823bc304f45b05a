"""AWS Lambda. https://docs.aws.amazon.com/lambda/latest/api/welcome.html"""

from unkai.kernel.service import Service, Task, effect, on, on_any, read, write
from unkai.services.lambda_ import (
    access,
    aliases,
    dataplane,
    events,
    functions,
    invariants,
    invoke,
    layers,
    limits,
    logs,
    mappings,
    policies,
    pollers,
    running,
    settings,
    tags,
    urls,
    versions,
    workers,
)
from unkai.services.lambda_.access import function_arn, qualified_arn

_FUNCTIONS = {
    "CreateFunction": effect(functions.create_function, access.with_role("lambda:CreateFunction")),
    "DeleteFunction": effect(functions.delete_function, on("lambda:DeleteFunction", qualified_arn)),
    "GetFunction": read(functions.get_function, on("lambda:GetFunction", qualified_arn)),
    "GetFunctionConfiguration": read(
        functions.get_function_configuration, on("lambda:GetFunctionConfiguration", qualified_arn)
    ),
    "ListFunctions": read(functions.list_functions, on_any("lambda:ListFunctions")),
    "UpdateFunctionCode": effect(functions.update_function_code, on("lambda:UpdateFunctionCode", function_arn)),
    "UpdateFunctionConfiguration": effect(
        functions.update_function_configuration, access.with_role("lambda:UpdateFunctionConfiguration")
    ),
    "GetAccountSettings": read(functions.get_account_settings, on_any("lambda:GetAccountSettings")),
    "PublishVersion": write(versions.publish_version, on("lambda:PublishVersion", function_arn)),
    "ListVersionsByFunction": read(
        versions.list_versions_by_function, on("lambda:ListVersionsByFunction", function_arn)
    ),
    "CreateAlias": write(aliases.create_alias, on("lambda:CreateAlias", function_arn)),
    "UpdateAlias": write(aliases.update_alias, on("lambda:UpdateAlias", function_arn)),
    "GetAlias": read(aliases.get_alias, on("lambda:GetAlias", function_arn)),
    "DeleteAlias": write(aliases.delete_alias, on("lambda:DeleteAlias", function_arn)),
    "ListAliases": read(aliases.list_aliases, on("lambda:ListAliases", function_arn)),
    "TagResource": write(tags.tag_resource, access.tag_resource),
    "UntagResource": write(tags.untag_resource, on("lambda:UntagResource", access.tagged_arn)),
    "ListTags": read(tags.list_tags, on("lambda:ListTags", access.tagged_arn)),
    "AddPermission": write(policies.add_permission, access.add_permission),
    "RemovePermission": write(policies.remove_permission, on("lambda:RemovePermission", qualified_arn)),
    "GetPolicy": read(policies.get_policy, on("lambda:GetPolicy", qualified_arn)),
}

_INVOKING = {
    "Invoke": effect(invoke.invoke, on("lambda:InvokeFunction", qualified_arn)),
    "InvokeAsync": effect(invoke.invoke_async, on("lambda:InvokeFunction", qualified_arn)),
    "InvokeWithResponseStream": effect(invoke.invoke_with_response_stream, on("lambda:InvokeFunction", qualified_arn)),
}

_LAYERS = {
    "PublishLayerVersion": effect(layers.publish_layer_version, on("lambda:PublishLayerVersion", layers.layer_arn)),
    "GetLayerVersion": read(layers.get_layer_version, on("lambda:GetLayerVersion", layers.layer_version_arn)),
    "GetLayerVersionByArn": read(
        layers.get_layer_version_by_arn, on("lambda:GetLayerVersion", access.layer_version_by_arn)
    ),
    "DeleteLayerVersion": write(layers.delete_layer_version, on("lambda:DeleteLayerVersion", layers.layer_version_arn)),
    "ListLayerVersions": read(layers.list_layer_versions, on("lambda:ListLayerVersions", layers.layer_arn)),
    "ListLayers": read(layers.list_layers, on_any("lambda:ListLayers")),
    "AddLayerVersionPermission": write(
        layers.add_layer_version_permission, on("lambda:AddLayerVersionPermission", layers.layer_version_arn)
    ),
    "GetLayerVersionPolicy": read(
        layers.get_layer_version_policy, on("lambda:GetLayerVersionPolicy", layers.layer_version_arn)
    ),
    "RemoveLayerVersionPermission": write(
        layers.remove_layer_version_permission, on("lambda:RemoveLayerVersionPermission", layers.layer_version_arn)
    ),
}

_SETTINGS = {
    "PutFunctionConcurrency": write(
        settings.put_function_concurrency, on("lambda:PutFunctionConcurrency", function_arn)
    ),
    "GetFunctionConcurrency": read(
        settings.get_function_concurrency, on("lambda:GetFunctionConcurrency", function_arn)
    ),
    "DeleteFunctionConcurrency": write(
        settings.delete_function_concurrency, on("lambda:DeleteFunctionConcurrency", function_arn)
    ),
    "PutProvisionedConcurrencyConfig": write(
        settings.put_provisioned_concurrency_config, on("lambda:PutProvisionedConcurrencyConfig", qualified_arn)
    ),
    "GetProvisionedConcurrencyConfig": read(
        settings.get_provisioned_concurrency_config, on("lambda:GetProvisionedConcurrencyConfig", qualified_arn)
    ),
    "DeleteProvisionedConcurrencyConfig": write(
        settings.delete_provisioned_concurrency_config,
        on("lambda:DeleteProvisionedConcurrencyConfig", qualified_arn),
    ),
    "ListProvisionedConcurrencyConfigs": read(
        settings.list_provisioned_concurrency_configs, on("lambda:ListProvisionedConcurrencyConfigs", function_arn)
    ),
    "PutFunctionEventInvokeConfig": write(
        settings.put_function_event_invoke_config, on("lambda:PutFunctionEventInvokeConfig", qualified_arn)
    ),
    "UpdateFunctionEventInvokeConfig": write(
        settings.update_function_event_invoke_config, on("lambda:UpdateFunctionEventInvokeConfig", qualified_arn)
    ),
    "GetFunctionEventInvokeConfig": read(
        settings.get_function_event_invoke_config, on("lambda:GetFunctionEventInvokeConfig", qualified_arn)
    ),
    "DeleteFunctionEventInvokeConfig": write(
        settings.delete_function_event_invoke_config, on("lambda:DeleteFunctionEventInvokeConfig", qualified_arn)
    ),
    "ListFunctionEventInvokeConfigs": read(
        settings.list_function_event_invoke_configs, on("lambda:ListFunctionEventInvokeConfigs", function_arn)
    ),
    "PutFunctionRecursionConfig": write(
        settings.put_function_recursion_config, on("lambda:PutFunctionRecursionConfig", function_arn)
    ),
    "GetFunctionRecursionConfig": read(
        settings.get_function_recursion_config, on("lambda:GetFunctionRecursionConfig", function_arn)
    ),
    "PutRuntimeManagementConfig": write(
        settings.put_runtime_management_config, on("lambda:PutRuntimeManagementConfig", qualified_arn)
    ),
    "GetRuntimeManagementConfig": read(
        settings.get_runtime_management_config, on("lambda:GetRuntimeManagementConfig", qualified_arn)
    ),
    "GetFunctionCodeSigningConfig": read(
        settings.get_function_code_signing_config, on("lambda:GetFunctionCodeSigningConfig", function_arn)
    ),
    "CreateFunctionUrlConfig": write(
        urls.create_function_url_config, access.url_config("lambda:CreateFunctionUrlConfig")
    ),
    "UpdateFunctionUrlConfig": write(
        urls.update_function_url_config, access.url_config("lambda:UpdateFunctionUrlConfig")
    ),
    "GetFunctionUrlConfig": read(urls.get_function_url_config, access.url_config("lambda:GetFunctionUrlConfig")),
    "DeleteFunctionUrlConfig": write(
        urls.delete_function_url_config, access.url_config("lambda:DeleteFunctionUrlConfig")
    ),
    "ListFunctionUrlConfigs": read(urls.list_function_url_configs, on("lambda:ListFunctionUrlConfigs", function_arn)),
}

_MAPPINGS = {
    "CreateEventSourceMapping": effect(mappings.create_event_source_mapping, mappings.create_access),
    "UpdateEventSourceMapping": write(mappings.update_event_source_mapping, mappings.update_access),
    "GetEventSourceMapping": read(
        mappings.get_event_source_mapping, on("lambda:GetEventSourceMapping", mappings.mapping_arn)
    ),
    "DeleteEventSourceMapping": write(
        mappings.delete_event_source_mapping, on("lambda:DeleteEventSourceMapping", mappings.mapping_arn)
    ),
    "ListEventSourceMappings": read(mappings.list_event_source_mappings, on_any("lambda:ListEventSourceMappings")),
}

SERVICE = Service(
    name="lambda",
    prefix="lambda",
    access_denied_code="AccessDeniedException",
    operations={**_FUNCTIONS, **_INVOKING, **_LAYERS, **_SETTINGS, **_MAPPINGS},
    steps=(
        functions.is_there,
        functions.insert_function,
        functions.try_code,
        functions.replace_code,
        functions.replace_configuration,
        functions.remove_function,
        layers.insert_layer_version,
        running.choose,
        invoke.insert_event,
        events.rules_of,
        events.put_off,
        events.finish_event,
        dataplane.find_url,
        dataplane.find_url_key,
        mappings.role_of,
        mappings.insert_mapping,
        pollers.read_page,
        pollers.find_role,
        workers.remove_page,
    ),
    tasks={
        events.INVOKE: Task(events.carry_invoke, concurrency=limits.CONCURRENCY),
        events.DELIVER: Task(events.carry_delivery),
        functions.CLEAN_UP: Task(workers.clean_up, concurrency=2),
    },
    resource_policy=policies.resource_policy,
    complete=access.complete,
    dataplane=dataplane.handle,
    workers=(pollers.work, logs.work),
    invariants=(invariants.check,),
)
