"""Converts the picture that an S3 event (through SNS) names to JPEG at full size, transparency on white."""

import io
import json
import os
from urllib.parse import unquote_plus

import boto3
from PIL import Image, ImageOps

s3 = boto3.client("s3")


def lambda_handler(event, context):
    for record in event["Records"]:
        for s3_record in json.loads(record["Sns"]["Message"]).get("Records", []):
            convert(s3_record["s3"]["bucket"]["name"], unquote_plus(s3_record["s3"]["object"]["key"]))


def convert(bucket, key):
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    print(f"converting {key} ({len(body)} bytes)")
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(body)))
    if picture.mode in ("RGBA", "LA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    out = io.BytesIO()
    picture.convert("RGB").save(out, "JPEG", quality=90)
    stem = key.rsplit(".", 1)[0]
    s3.put_object(
        Bucket=os.environ["RESULT_BUCKET"], Key=f"jpg/{stem}.jpg", Body=out.getvalue(), ContentType="image/jpeg"
    )
