"""Amazon SQS. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html"""

from unkai.kernel.service import Service, Task, effect, on, on_any, read, write
from unkai.services.sqs import arns, errors, invariants, messages, queues, workers

SERVICE = Service(
    name="sqs",
    prefix="sqs",
    operations={
        "CreateQueue": write(queues.create_queue, on("sqs:CreateQueue", arns.named_queue_arn)),
        "DeleteQueue": write(queues.delete_queue, on("sqs:DeleteQueue", arns.queue_arn)),
        "GetQueueAttributes": read(queues.get_queue_attributes, on("sqs:GetQueueAttributes", arns.queue_arn)),
        "GetQueueUrl": read(queues.get_queue_url, on("sqs:GetQueueUrl", arns.named_queue_arn)),
        "ListQueues": read(queues.list_queues, on_any("sqs:ListQueues")),
        "PurgeQueue": write(queues.purge_queue, on("sqs:PurgeQueue", arns.queue_arn)),
        "SetQueueAttributes": write(queues.set_queue_attributes, on("sqs:SetQueueAttributes", arns.queue_arn)),
        "ChangeMessageVisibility": write(
            messages.change_message_visibility, on("sqs:ChangeMessageVisibility", arns.queue_arn)
        ),
        "DeleteMessage": write(messages.delete_message, on("sqs:DeleteMessage", arns.queue_arn)),
        "ReceiveMessage": effect(messages.receive_message, on("sqs:ReceiveMessage", arns.queue_arn)),
        "SendMessage": write(messages.send_message, on("sqs:SendMessage", arns.queue_arn)),
    },
    steps=(workers.remove_page,),
    serial_steps=(messages.take,),
    tasks={queues.CLEAN_UP: Task(workers.clean_up, concurrency=2)},
    wording=errors.WORDING,
    invariants=(invariants.check,),
)
