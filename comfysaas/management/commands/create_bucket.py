"""`manage.py create_bucket`: creates the S3 bucket, private, unless it exists."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Create the private S3 bucket that S3_BUCKET names, unless it exists."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.S3_BUCKET:
            msg = "S3_BUCKET is not set. Results are stored on disk and need no bucket."
            raise CommandError(msg)
        try:
            self._make()
        except (BotoCoreError, ClientError) as error:
            msg = f"The bucket “{settings.S3_BUCKET}” cannot be read or created: {error} Check the S3_… settings."
            raise CommandError(msg) from error

    def _make(self) -> None:
        client = default_storage.connection.meta.client  # type: ignore[attr-defined]  # S3Storage's boto3 resource
        try:
            client.head_bucket(Bucket=settings.S3_BUCKET)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            client.create_bucket(Bucket=settings.S3_BUCKET)
            self.stdout.write(f"Created the bucket “{settings.S3_BUCKET}”.")
        else:
            self.stdout.write(f"The bucket “{settings.S3_BUCKET}” exists already.")
