"""AWS Identity and Access Management, and the Security Token Service, which share their data.

https://docs.aws.amazon.com/IAM/latest/APIReference/welcome.html
https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html
"""

from unkai.kernel.service import Service
from unkai.services.iam import identity

IAM = Service(name="iam", prefix="iam", operations={}, steps=(identity.bootstrap,))
STS = Service(name="sts", prefix="sts", operations={}, resource_policy_kind="trust")

SERVICES = (IAM, STS)
