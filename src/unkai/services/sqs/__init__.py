"""Amazon SQS. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html"""

from unkai.kernel.service import Access, Service, Task, effect, on, on_any, read, write
from unkai.services.sqs import (
    arns,
    errors,
    invariants,
    messages,
    move_tasks,
    permissions,
    queues,
    receiving,
    sending,
    tags,
    workers,
)

SERVICE = Service(
    name="sqs",
    prefix="sqs",
    operations={
        "AddPermission": write(permissions.add_permission, arns.owned("sqs:AddPermission")),
        "CreateQueue": write(queues.create_queue, arns.creating),
        "DeleteQueue": write(queues.delete_queue, arns.owned("sqs:DeleteQueue")),
        "GetQueueAttributes": read(queues.get_queue_attributes, on("sqs:GetQueueAttributes", arns.queue_arn)),
        "GetQueueUrl": read(queues.get_queue_url, on("sqs:GetQueueUrl", arns.named_queue_arn)),
        "ListDeadLetterSourceQueues": read(
            queues.list_dead_letter_source_queues, on("sqs:ListDeadLetterSourceQueues", arns.queue_arn)
        ),
        "ListQueues": read(queues.list_queues, on_any("sqs:ListQueues")),
        "ListQueueTags": read(tags.list_queue_tags, arns.owned("sqs:ListQueueTags")),
        "PurgeQueue": write(queues.purge_queue, on("sqs:PurgeQueue", arns.queue_arn)),
        "RemovePermission": write(permissions.remove_permission, arns.owned("sqs:RemovePermission")),
        "SetQueueAttributes": write(queues.set_queue_attributes, arns.owned("sqs:SetQueueAttributes")),
        "TagQueue": write(tags.tag_queue, arns.owned("sqs:TagQueue", tags="Tags")),
        "UntagQueue": write(tags.untag_queue, arns.owned("sqs:UntagQueue")),
        "ChangeMessageVisibility": write(
            messages.change_message_visibility, on("sqs:ChangeMessageVisibility", arns.queue_arn)
        ),
        "ChangeMessageVisibilityBatch": write(
            messages.change_message_visibility_batch, on("sqs:ChangeMessageVisibility", arns.queue_arn)
        ),
        "DeleteMessage": write(messages.delete_message, on("sqs:DeleteMessage", arns.queue_arn)),
        "DeleteMessageBatch": write(messages.delete_message_batch, on("sqs:DeleteMessage", arns.queue_arn)),
        "ReceiveMessage": effect(receiving.receive_message, on("sqs:ReceiveMessage", arns.queue_arn)),
        "SendMessage": write(sending.send_message, on("sqs:SendMessage", arns.queue_arn)),
        "SendMessageBatch": write(sending.send_message_batch, on("sqs:SendMessage", arns.queue_arn)),
        "CancelMessageMoveTask": write(move_tasks.cancel_message_move_task, move_tasks.cancelling),
        "ListMessageMoveTasks": read(
            move_tasks.list_message_move_tasks,
            lambda ctx, inp: (Access("sqs:ListMessageMoveTasks", inp["SourceArn"]),),
        ),
        "StartMessageMoveTask": write(move_tasks.start_message_move_task, arns.moving),
    },
    steps=(workers.remove_page,),
    serial_steps=(
        receiving.take,
        move_tasks.move_page,
        workers.sweep_messages,
        workers.sweep_moved,
        workers.sweep_memory,
        workers.sweep_counters,
        workers.end_sweep,
    ),
    tasks={
        queues.CLEAN_UP: Task(workers.clean_up, concurrency=2),
        queues.SWEEP: Task(workers.sweep, concurrency=2),
        move_tasks.MOVE: Task(move_tasks.move, concurrency=16),
    },
    resource_policy=permissions.resource_policy,
    complete=permissions.complete,
    wording=errors.WORDING,
    invariants=(invariants.check,),
)
