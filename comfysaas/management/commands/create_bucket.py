"""`manage.py create_bucket`: makes the S3 bucket, private, unless it is there."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Make the S3 bucket that S3_BUCKET names, unless it exists."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.S3_BUCKET:
            msg = "S3_BUCKET is not set: results are kept on disk and need no bucket."
            raise CommandError(msg)
        try:
            self._make()
        except (BotoCoreError, ClientError) as error:
            msg = f"The bucket {settings.S3_BUCKET} could not be made or looked at: {error} Check the S3_… settings."
            raise CommandError(msg) from error

    def _make(self) -> None:
        client = default_storage.connection.meta.client  # type: ignore[attr-defined]  # S3Storage's boto3 resource
        try:
            client.head_bucket(Bucket=settings.S3_BUCKET)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            client.create_bucket(Bucket=settings.S3_BUCKET)
            self.stdout.write(f"Made the bucket {settings.S3_BUCKET}.")
        else:
            self.stdout.write(f"The bucket {settings.S3_BUCKET} is there.")
