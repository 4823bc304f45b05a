"""A few answers byte for byte, since parsers forgive what other clients do not."""

from __future__ import annotations

from xml.etree import ElementTree

from unkai.kernel.errors import AwsError
from unkai.kernel.http import HttpRequest
from unkai.model.load import load_service
from unkai.wire.codec import CODECS, codec_for

NOON_MS = 1_767_268_800_000  # 2026-01-01T12:00:00Z


# ListObjectsV2: the root's name and namespace, milliseconds in times, quotes in ETags escaped, members in the model's order.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
def test_s3_list_objects_v2() -> None:
    operation = load_service("s3").operations["ListObjectsV2"]
    out = {
        "Name": "bucket",
        "Prefix": "a&b/",
        "KeyCount": 1,
        "MaxKeys": 1000,
        "IsTruncated": False,
        "Contents": [
            {"Key": "a&b/<1>", "LastModified": NOON_MS, "ETag": '"9b2c"', "Size": 3, "StorageClass": "STANDARD"}
        ],
        "CommonPrefixes": [{"Prefix": "a&b/x/"}, {"Prefix": "a&b/y/"}],
    }
    response = CODECS["rest-xml"].encode(operation, out, "4442587FB7D0A2F9")
    assert response.body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>'
        b"<Contents><Key>a&amp;b/&lt;1&gt;</Key><LastModified>2026-01-01T12:00:00.000Z</LastModified>"
        b"<ETag>&quot;9b2c&quot;</ETag><Size>3</Size><StorageClass>STANDARD</StorageClass></Contents>"
        b"<Name>bucket</Name><Prefix>a&amp;b/</Prefix><MaxKeys>1000</MaxKeys>"
        b"<CommonPrefixes><Prefix>a&amp;b/x/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>a&amp;b/y/</Prefix></CommonPrefixes>"
        b"<KeyCount>1</KeyCount></ListBucketResult>"
    )
    assert response.headers[0] == ("x-amz-request-id", "4442587FB7D0A2F9")
    assert [name for name, _ in response.headers] == ["x-amz-request-id", "x-amz-id-2", "Content-Type"]


# xsi:type stands as an attribute, with its namespace declared on the element itself.
def test_s3_grantee_has_its_type_as_attribute() -> None:
    operation = load_service("s3").operations["GetBucketAcl"]
    out = {
        "Owner": {"ID": "o"},
        "Grants": [{"Grantee": {"ID": "o", "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}],
    }
    body = CODECS["rest-xml"].encode(operation, out, "r").body
    assert isinstance(body, bytes)
    assert body.partition(b"\n")[2] == (
        b'<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>o</ID></Owner>'
        b"<AccessControlList><Grant>"
        b'<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>o</ID></Grantee>'
        b"<Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>"
    )


# us-east-1 has no location: the element is there and empty.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html
def test_s3_get_bucket_location_is_one_element() -> None:
    operation = load_service("s3").operations["GetBucketLocation"]
    for out, text in (({}, b""), ({"LocationConstraint": "eu-west-1"}, b"eu-west-1")):
        body = CODECS["rest-xml"].encode(operation, out, "r").body
        assert isinstance(body, bytes)
        start = b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        assert body.partition(b"\n")[2] == start + text + b"</LocationConstraint>"


# S3's errors have no namespace, and members that no model lists.
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#RESTErrorResponses
def test_s3_error() -> None:
    model = load_service("s3")
    error = AwsError("NoSuchKey", "The specified key does not exist.", members={"Key": "a<b"}, status=404)
    response = CODECS["rest-xml"].encode_error(model, model.operations["GetObject"], error, "REQ")
    host = dict(response.headers)["x-amz-id-2"]
    assert response.status == 404
    assert (
        response.body
        == (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>a&lt;b</Key>"
            f"<RequestId>REQ</RequestId><HostId>{host}</HostId></Error>"
        ).encode()
    )


# A HEAD has no body to say what is wrong; a delete marker says so in a header.
def test_s3_error_of_head_is_status_and_headers() -> None:
    model = load_service("s3")
    error = AwsError("NoSuchKey", "", status=404, headers={"x-amz-delete-marker": "true"})
    response = CODECS["rest-xml"].encode_error(model, model.operations["HeadObject"], error, "REQ")
    assert (response.status, response.body) == (404, b"")
    assert ("x-amz-delete-marker", "true") in response.headers


# One operation in both protocols that SQS speaks, and the same refusal: the code differs, and JSON names the other in a header.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-xml.html
def test_sqs_in_json_and_query() -> None:
    model = load_service("sqs")
    by_json = HttpRequest(
        "POST", "/", "", {"x-amz-target": "AmazonSQS.SendMessage"}, b'{"QueueUrl":"u","MessageBody":"hi"}'
    )
    form = b"Action=SendMessage&QueueUrl=u&MessageBody=hi&Version=2012-11-05"
    by_query = HttpRequest("POST", "/", "", {"content-type": "application/x-www-form-urlencoded"}, form)
    for request in (by_json, by_query):
        codec = codec_for(model, request)
        operation = codec.operation_of(model, request, request.body)
        assert codec.decode(operation, request, request.body) == {"QueueUrl": "u", "MessageBody": "hi"}
    operation = model.operations["SendMessage"]
    out = {"MessageId": "m", "MD5OfMessageBody": "d"}
    assert CODECS["json"].encode(operation, out, "r").body == b'{"MessageId":"m","MD5OfMessageBody":"d"}'
    assert CODECS["query"].encode(operation, out, "r").body == (
        b'<SendMessageResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><SendMessageResult>'
        b"<MD5OfMessageBody>d</MD5OfMessageBody><MessageId>m</MessageId></SendMessageResult>"
        b"<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></SendMessageResponse>\n"
    )

    error = AwsError("QueueDoesNotExist", "The specified queue does not exist.")
    refused = CODECS["json"].encode_error(model, operation, error, "r")
    assert (
        refused.body
        == b'{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}'
    )
    assert dict(refused.headers)["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"
    assert CODECS["query"].encode_error(model, operation, error, "r").body == (
        b'<ErrorResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><Error><Type>Sender</Type>'
        b"<Code>AWS.SimpleQueueService.NonExistentQueue</Code><Message>The specified queue does not exist.</Message></Error>"
        b"<RequestId>r</RequestId></ErrorResponse>\n"
    )


# Flattened maps and lists under query's own names, which the JSON model no longer has.
def test_sqs_receive_in_query() -> None:
    out = {"Messages": [{"MessageId": "1", "Attributes": {"SentTimestamp": "5"}, "Body": "b"}, {"MessageId": "2"}]}
    body = CODECS["query"].encode(load_service("sqs").operations["ReceiveMessage"], out, "r").body
    assert isinstance(body, bytes)
    assert (
        b"<ReceiveMessageResult><Message><MessageId>1</MessageId><Body>b</Body>"
        b"<Attribute><Name>SentTimestamp</Name><Value>5</Value></Attribute></Message>"
        b"<Message><MessageId>2</MessageId></Message></ReceiveMessageResult>"
    ) in body


# Lambda's errors say who is to blame, in the body and by their name in a header.
# https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html
def test_lambda_error() -> None:
    model = load_service("lambda")
    error = AwsError("ResourceNotFoundException", "Function not found: f")
    response = CODECS["rest-json"].encode_error(model, None, error, "r")
    assert response.status == 404
    assert response.body == b'{"Message":"Function not found: f","Type":"User"}'
    assert ("x-amzn-ErrorType", "ResourceNotFoundException") in response.headers


# Retry-After of Lambda's throttling is a member of the error that lives in a header.
def test_lambda_throttling_has_its_header() -> None:
    error = AwsError(
        "TooManyRequestsException",
        "Rate Exceeded.",
        members={"retryAfterSeconds": "1", "Reason": "CallerRateLimitExceeded"},
    )
    response = CODECS["rest-json"].encode_error(load_service("lambda"), None, error, "r")
    assert response.status == 429
    assert ("Retry-After", "1") in response.headers


# A header's value that a client chose (response-content-disposition) cannot add a header of its own.
def test_a_header_cannot_be_split() -> None:
    operation = load_service("s3").operations["GetObject"]
    out = {"Body": b"x", "ContentDisposition": "a\r\nSet-Cookie: b", "Metadata": {"k": "v\nw"}}
    headers = dict(CODECS["rest-xml"].encode(operation, out, "r").headers)
    assert headers["Content-Disposition"] == "a  Set-Cookie: b"
    assert headers["x-amz-meta-k"] == "v w"


# CloudWatch speaks three protocols at one endpoint; the request says which.
def test_the_protocol_is_chosen_by_the_request() -> None:
    model = load_service("cloudwatch")
    headers = {
        "smithy-rpc-v2-cbor": {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"},
        "json": {
            "x-amz-target": "GraniteServiceVersion20100801.ListMetrics",
            "content-type": "application/x-amz-json-1.0",
        },
        "query": {"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
    }
    for protocol, sent in headers.items():
        assert codec_for(model, HttpRequest("POST", "/", "", sent)).protocol == protocol
    older = {"x-amz-target": "Kinesis_20131202.PutRecord", "content-type": "application/x-amz-cbor-1.1"}
    assert codec_for(load_service("kinesis"), HttpRequest("POST", "/", "", older)).protocol == "cbor-1.1"


# The Java SDK's older CBOR sends timestamps in milliseconds, and expects them so.
def test_older_cbor_counts_milliseconds() -> None:
    codec, model = CODECS["cbor-1.1"], load_service("kinesis")
    body = codec.encode(
        model.operations["DescribeStreamSummary"], {"StreamDescriptionSummary": {"StreamCreationTimestamp": 1500}}, "r"
    ).body
    assert isinstance(body, bytes)
    assert b"\xc1\x19\x05\xdc" in body  # tag 1, 1500
    request = HttpRequest("POST", "/", "", {}, b"\xa1\x69Timestamp\xc1\x19\x05\xdc")
    assert codec.decode(model.operations["GetShardIterator"], request, request.body) == {"Timestamp": 1500}


# A refusal may quote what the client sent; a NUL in it must not make the answer unreadable.
def test_a_quoted_nul_leaves_the_refusal_readable() -> None:
    model = load_service("iam")
    error = AwsError("NoSuchEntity", "The user with name a\0b cannot be found.", status=404)
    response = CODECS["query"].encode_error(model, model.operations["GetUser"], error, "id")
    assert isinstance(response.body, bytes)
    assert "a\ufffdb" in ElementTree.fromstring(response.body)[0][2].text  # type: ignore[operator]
