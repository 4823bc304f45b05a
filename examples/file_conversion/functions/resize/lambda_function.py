"""Resizes the picture that an S3 event (through SNS) names to fit 300x300, and puts it in the result bucket."""

import io
import json
import os
from urllib.parse import unquote_plus

import boto3
from PIL import Image, ImageOps

s3 = boto3.client("s3")
SIZE = (300, 300)


def lambda_handler(event, context):
    for record in event["Records"]:
        for s3_record in json.loads(record["Sns"]["Message"]).get("Records", []):
            convert(s3_record["s3"]["bucket"]["name"], unquote_plus(s3_record["s3"]["object"]["key"]))


def convert(bucket, key):
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    print(f"resizing {key} ({len(body)} bytes)")
    picture = ImageOps.exif_transpose(
        Image.open(io.BytesIO(body))
    )  # as the camera was held; first frame of an animation
    picture.thumbnail(SIZE)
    keeps_alpha = picture.mode in ("RGBA", "LA") or "transparency" in picture.info
    out = io.BytesIO()
    if keeps_alpha:
        picture.convert("RGBA").save(out, "PNG", optimize=True)
        name, kind = "png", "image/png"
    else:
        picture.convert("RGB").save(out, "JPEG", quality=85)
        name, kind = "jpg", "image/jpeg"
    stem = key.rsplit(".", 1)[0]
    s3.put_object(
        Bucket=os.environ["RESULT_BUCKET"], Key=f"300x300/{stem}.{name}", Body=out.getvalue(), ContentType=kind
    )
