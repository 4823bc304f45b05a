"""Puts the object that an S3 event (through SNS) names into a zip archive, after a look that it is a picture at all."""

import io
import json
import os
import zipfile
from urllib.parse import unquote_plus

import boto3
from PIL import Image

s3 = boto3.client("s3")


def lambda_handler(event, context):
    for record in event["Records"]:
        for s3_record in json.loads(record["Sns"]["Message"]).get("Records", []):
            convert(s3_record["s3"]["bucket"]["name"], unquote_plus(s3_record["s3"]["object"]["key"]))


def convert(bucket, key):
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    print(f"archiving {key} ({len(body)} bytes)")
    Image.open(io.BytesIO(body)).load()  # an archive of something broken helps nobody
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(key.rsplit("/", 1)[-1], body)
    s3.put_object(
        Bucket=os.environ["RESULT_BUCKET"], Key=f"zip/{key}.zip", Body=out.getvalue(), ContentType="application/zip"
    )
