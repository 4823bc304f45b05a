"""Amazon S3. https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html"""

from unkai.kernel.service import Service, Task, effect, on_any, read, write
from unkai.layers import blobs
from unkai.services.s3 import (
    access,
    attributes,
    buckets,
    completing,
    copying,
    cors,
    dataplane,
    errors,
    expiring,
    invariants,
    lifecycle,
    listing,
    multipart,
    notifications,
    objects,
    policies,
    reading,
    settings,
    tagging,
    versions,
    workers,
)
from unkai.services.s3.access import on_bucket, on_object, on_version
from unkai.services.s3.settings import deleting, getting, putting

_OBJECTS = {
    "AbortMultipartUpload": write(multipart.abort_multipart_upload, on_object("s3:AbortMultipartUpload")),
    "CompleteMultipartUpload": effect(completing.complete_multipart_upload, on_object("s3:PutObject")),
    "CopyObject": effect(copying.copy_object, access.copy_object),
    "CreateMultipartUpload": effect(multipart.create_multipart_upload, access.put_object),
    "DeleteObject": write(objects.delete_object, on_version("s3:DeleteObject", "s3:DeleteObjectVersion")),
    "DeleteObjectTagging": write(
        tagging.delete_object_tagging, on_version("s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging")
    ),
    "DeleteObjects": write(objects.delete_objects, access.delete_objects),
    "GetObject": effect(reading.get_object, on_version("s3:GetObject", "s3:GetObjectVersion")),
    "GetObjectAcl": read(policies.get_object_acl, on_version("s3:GetObjectAcl", "s3:GetObjectVersionAcl")),
    "GetObjectAttributes": read(attributes.get_object_attributes, access.attributes),
    "GetObjectTagging": read(
        tagging.get_object_tagging, on_version("s3:GetObjectTagging", "s3:GetObjectVersionTagging")
    ),
    "HeadObject": read(reading.head_object, on_version("s3:GetObject", "s3:GetObjectVersion")),
    "ListParts": read(multipart.list_parts, on_object("s3:ListMultipartUploadParts")),
    "PutObject": effect(objects.put_object, access.put_object),
    "PutObjectAcl": write(policies.put_object_acl, on_version("s3:PutObjectAcl", "s3:PutObjectVersionAcl")),
    "PutObjectTagging": write(
        tagging.put_object_tagging, on_version("s3:PutObjectTagging", "s3:PutObjectVersionTagging")
    ),
    "UploadPart": effect(multipart.upload_part, on_object("s3:PutObject")),
    "UploadPartCopy": effect(copying.upload_part_copy, access.copy_object),
}

_BUCKETS = {
    "CreateBucket": write(buckets.create_bucket, on_bucket("s3:CreateBucket")),
    "DeleteBucket": write(buckets.delete_bucket, on_bucket("s3:DeleteBucket")),
    "GetBucketLocation": read(buckets.get_bucket_location, on_bucket("s3:GetBucketLocation")),
    "GetBucketVersioning": read(buckets.get_bucket_versioning, on_bucket("s3:GetBucketVersioning")),
    "HeadBucket": read(buckets.head_bucket, on_bucket("s3:ListBucket")),
    "ListBuckets": read(buckets.list_buckets, on_any("s3:ListAllMyBuckets")),
    "ListMultipartUploads": read(multipart.list_multipart_uploads, on_bucket("s3:ListBucketMultipartUploads")),
    "ListObjectVersions": read(listing.list_object_versions, on_bucket("s3:ListBucketVersions")),
    "ListObjects": read(listing.list_objects, on_bucket("s3:ListBucket")),
    "ListObjectsV2": read(listing.list_objects_v2, on_bucket("s3:ListBucket")),
    "PutBucketVersioning": write(buckets.put_bucket_versioning, on_bucket("s3:PutBucketVersioning")),
}

_RULES = {
    "DeleteBucketCors": write(cors.delete_bucket_cors, on_bucket("s3:PutBucketCORS")),
    "DeleteBucketLifecycle": write(lifecycle.delete_bucket_lifecycle, on_bucket("s3:PutLifecycleConfiguration")),
    "DeleteBucketPolicy": write(policies.delete_bucket_policy, on_bucket("s3:DeleteBucketPolicy")),
    "DeletePublicAccessBlock": write(policies.delete_public_access_block, on_bucket("s3:PutBucketPublicAccessBlock")),
    "GetBucketAcl": read(policies.get_bucket_acl, on_bucket("s3:GetBucketAcl")),
    "GetBucketCors": read(cors.get_bucket_cors, on_bucket("s3:GetBucketCORS")),
    "GetBucketLifecycleConfiguration": read(
        lifecycle.get_bucket_lifecycle_configuration, on_bucket("s3:GetLifecycleConfiguration")
    ),
    "GetBucketNotificationConfiguration": read(
        notifications.get_bucket_notification_configuration, on_bucket("s3:GetBucketNotification")
    ),
    "GetBucketPolicy": read(policies.get_bucket_policy, on_bucket("s3:GetBucketPolicy")),
    "GetBucketPolicyStatus": read(policies.get_bucket_policy_status, on_bucket("s3:GetBucketPolicyStatus")),
    "GetPublicAccessBlock": read(policies.get_public_access_block, on_bucket("s3:GetBucketPublicAccessBlock")),
    "PutBucketAcl": write(policies.put_bucket_acl, on_bucket("s3:PutBucketAcl")),
    "PutBucketCors": write(cors.put_bucket_cors, on_bucket("s3:PutBucketCORS")),
    "PutBucketLifecycleConfiguration": write(
        lifecycle.put_bucket_lifecycle_configuration, on_bucket("s3:PutLifecycleConfiguration")
    ),
    "PutBucketNotificationConfiguration": effect(
        notifications.put_bucket_notification_configuration, on_bucket("s3:PutBucketNotification")
    ),
    "PutBucketPolicy": write(policies.put_bucket_policy, on_bucket("s3:PutBucketPolicy")),
    "PutPublicAccessBlock": write(policies.put_public_access_block, on_bucket("s3:PutBucketPublicAccessBlock")),
}

_KEPT = {
    "DeleteBucketAnalyticsConfiguration": write(
        deleting(settings.ANALYTICS, "delete_bucket_analytics_configuration"),
        on_bucket("s3:PutAnalyticsConfiguration"),
    ),
    "DeleteBucketEncryption": write(
        deleting(settings.ENCRYPTION, "delete_bucket_encryption"), on_bucket("s3:PutEncryptionConfiguration")
    ),
    "DeleteBucketIntelligentTieringConfiguration": write(
        deleting(settings.INTELLIGENT_TIERING, "delete_bucket_intelligent_tiering_configuration"),
        on_bucket("s3:PutIntelligentTieringConfiguration"),
    ),
    "DeleteBucketInventoryConfiguration": write(
        deleting(settings.INVENTORY, "delete_bucket_inventory_configuration"),
        on_bucket("s3:PutInventoryConfiguration"),
    ),
    "DeleteBucketMetricsConfiguration": write(
        deleting(settings.METRICS, "delete_bucket_metrics_configuration"), on_bucket("s3:PutMetricsConfiguration")
    ),
    "DeleteBucketOwnershipControls": write(
        deleting(settings.OWNERSHIP, "delete_bucket_ownership_controls"), on_bucket("s3:PutBucketOwnershipControls")
    ),
    "DeleteBucketReplication": write(
        deleting(settings.REPLICATION, "delete_bucket_replication"), on_bucket("s3:PutReplicationConfiguration")
    ),
    "DeleteBucketTagging": write(deleting(settings.TAGGING, "delete_bucket_tagging"), on_bucket("s3:PutBucketTagging")),
    "DeleteBucketWebsite": write(
        deleting(settings.WEBSITE, "delete_bucket_website"), on_bucket("s3:DeleteBucketWebsite")
    ),
    "GetBucketAbac": read(getting(settings.ABAC, "get_bucket_abac"), on_bucket("s3:GetBucketAbac")),
    "GetBucketAccelerateConfiguration": read(
        getting(settings.ACCELERATE, "get_bucket_accelerate_configuration"),
        on_bucket("s3:GetAccelerateConfiguration"),
    ),
    "GetBucketAnalyticsConfiguration": read(
        getting(settings.ANALYTICS, "get_bucket_analytics_configuration"), on_bucket("s3:GetAnalyticsConfiguration")
    ),
    "GetBucketEncryption": read(
        getting(settings.ENCRYPTION, "get_bucket_encryption"), on_bucket("s3:GetEncryptionConfiguration")
    ),
    "GetBucketIntelligentTieringConfiguration": read(
        getting(settings.INTELLIGENT_TIERING, "get_bucket_intelligent_tiering_configuration"),
        on_bucket("s3:GetIntelligentTieringConfiguration"),
    ),
    "GetBucketInventoryConfiguration": read(
        getting(settings.INVENTORY, "get_bucket_inventory_configuration"), on_bucket("s3:GetInventoryConfiguration")
    ),
    "GetBucketLogging": read(getting(settings.LOGGING, "get_bucket_logging"), on_bucket("s3:GetBucketLogging")),
    "GetBucketMetricsConfiguration": read(
        getting(settings.METRICS, "get_bucket_metrics_configuration"), on_bucket("s3:GetMetricsConfiguration")
    ),
    "GetBucketOwnershipControls": read(
        getting(settings.OWNERSHIP, "get_bucket_ownership_controls"), on_bucket("s3:GetBucketOwnershipControls")
    ),
    "GetBucketReplication": read(
        getting(settings.REPLICATION, "get_bucket_replication"), on_bucket("s3:GetReplicationConfiguration")
    ),
    "GetBucketRequestPayment": read(
        getting(settings.REQUEST_PAYMENT, "get_bucket_request_payment"), on_bucket("s3:GetBucketRequestPayment")
    ),
    "GetBucketTagging": read(getting(settings.TAGGING, "get_bucket_tagging"), on_bucket("s3:GetBucketTagging")),
    "GetBucketWebsite": read(getting(settings.WEBSITE, "get_bucket_website"), on_bucket("s3:GetBucketWebsite")),
    "GetObjectLockConfiguration": read(
        settings.get_object_lock_configuration, on_bucket("s3:GetBucketObjectLockConfiguration")
    ),
    "ListBucketAnalyticsConfigurations": read(
        settings.listing(settings.ANALYTICS, "list_bucket_analytics_configurations"),
        on_bucket("s3:GetAnalyticsConfiguration"),
    ),
    "ListBucketIntelligentTieringConfigurations": read(
        settings.listing(settings.INTELLIGENT_TIERING, "list_bucket_intelligent_tiering_configurations"),
        on_bucket("s3:GetIntelligentTieringConfiguration"),
    ),
    "ListBucketInventoryConfigurations": read(
        settings.listing(settings.INVENTORY, "list_bucket_inventory_configurations"),
        on_bucket("s3:GetInventoryConfiguration"),
    ),
    "ListBucketMetricsConfigurations": read(
        settings.listing(settings.METRICS, "list_bucket_metrics_configurations"),
        on_bucket("s3:GetMetricsConfiguration"),
    ),
    "PutBucketAbac": write(putting(settings.ABAC, "put_bucket_abac"), on_bucket("s3:PutBucketAbac")),
    "PutBucketAccelerateConfiguration": write(
        putting(settings.ACCELERATE, "put_bucket_accelerate_configuration"),
        on_bucket("s3:PutAccelerateConfiguration"),
    ),
    "PutBucketAnalyticsConfiguration": write(
        putting(settings.ANALYTICS, "put_bucket_analytics_configuration"), on_bucket("s3:PutAnalyticsConfiguration")
    ),
    "PutBucketEncryption": write(
        putting(settings.ENCRYPTION, "put_bucket_encryption"), on_bucket("s3:PutEncryptionConfiguration")
    ),
    "PutBucketIntelligentTieringConfiguration": write(
        putting(settings.INTELLIGENT_TIERING, "put_bucket_intelligent_tiering_configuration"),
        on_bucket("s3:PutIntelligentTieringConfiguration"),
    ),
    "PutBucketInventoryConfiguration": write(
        putting(settings.INVENTORY, "put_bucket_inventory_configuration"), on_bucket("s3:PutInventoryConfiguration")
    ),
    "PutBucketLogging": write(putting(settings.LOGGING, "put_bucket_logging"), on_bucket("s3:PutBucketLogging")),
    "PutBucketMetricsConfiguration": write(
        putting(settings.METRICS, "put_bucket_metrics_configuration"), on_bucket("s3:PutMetricsConfiguration")
    ),
    "PutBucketOwnershipControls": write(
        putting(settings.OWNERSHIP, "put_bucket_ownership_controls"), on_bucket("s3:PutBucketOwnershipControls")
    ),
    "PutBucketReplication": write(
        putting(settings.REPLICATION, "put_bucket_replication"), on_bucket("s3:PutReplicationConfiguration")
    ),
    "PutBucketRequestPayment": write(
        putting(settings.REQUEST_PAYMENT, "put_bucket_request_payment"), on_bucket("s3:PutBucketRequestPayment")
    ),
    "PutBucketTagging": write(putting(settings.TAGGING, "put_bucket_tagging"), on_bucket("s3:PutBucketTagging")),
    "PutBucketWebsite": write(putting(settings.WEBSITE, "put_bucket_website"), on_bucket("s3:PutBucketWebsite")),
    "PutObjectLockConfiguration": write(
        settings.put_object_lock_configuration, on_bucket("s3:PutBucketObjectLockConfiguration")
    ),
}

SERVICE = Service(
    name="s3",
    prefix="s3",
    operations=_OBJECTS | _BUCKETS | _RULES | _KEPT,
    read_steps=(
        objects.check_target,
        reading.look,
        copying.look_at_source,
        multipart.look_at_upload,
        expiring.look_at_versions,
    ),
    steps=(
        objects.put,
        copying.put_copy,
        completing.complete,
        multipart.begin_upload,
        multipart.put_part,
        notifications.check_notifications,
        notifications.set_notifications,
        expiring.act,
        expiring.abort_old_uploads,
        expiring.wind_up,
        workers.free_page,
        workers.end_uploads,
    ),
    tasks={
        blobs.UNLINK: Task(blobs.unlink_dropped, concurrency=4),
        buckets.CLEAN_UP: Task(workers.clean_up, concurrency=2),
        buckets.LIFECYCLE: Task(expiring.run_lifecycle, concurrency=2),
        notifications.NOTIFY: Task(notifications.deliver, concurrency=32),
        versions.FREE_PARTS: Task(workers.free_parts, concurrency=4),
    },
    resource_policy=policies.resource_policy,
    wording=errors.WORDING,
    preflight=dataplane.preflight,
    cross_origin=dataplane.cross_origin,
    invariants=(invariants.check,),
)
