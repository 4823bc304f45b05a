"""The loader: newest version, lazy, patched, and without botocore itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from unkai.model.load import load_service


# Importing botocore would cost more than the whole start-up budget.
def test_botocore_is_not_imported() -> None:
    code = """
import sys
from unkai.model.load import load_service
load_service("s3").operations["PutObject"]
print("botocore" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_shapes_are_built_once_and_may_be_recursive() -> None:
    model = load_service("dynamodb")
    value = model.shapes["AttributeValue"]
    assert value.members["M"].shape.value is not None
    assert value.members["M"].shape.value.shape is value
    assert model.operations["PutItem"] is model.operations["PutItem"]
    assert model is load_service("dynamodb")


def test_errors_are_found_by_name_and_by_code() -> None:
    sqs = load_service("sqs")
    assert sqs.errors_by_code["QueueDoesNotExist"] is sqs.errors_by_code["AWS.SimpleQueueService.NonExistentQueue"]
    assert "NoSuchThing" not in sqs.errors_by_code


@pytest.mark.parametrize("name", ["nothing", ""])
def test_an_unknown_service_is_a_key_error(name: str) -> None:
    with pytest.raises(KeyError):
        load_service(name)
