"""What a process does not need is not loaded: every megabyte counts once for each of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.processes import ROOT

CODE = """
import sys
import django
django.setup()
import generations.management.commands.relay, comfysaas.celery
from django.core.files.storage import default_storage
from django.urls import reverse
reverse("account_login"), default_storage.exists
loaded = {name.partition(".")[0] for name in sys.modules}
print(sorted(loaded & {"twisted", "autobahn", "daphne", "boto3", "av"}))
"""


def test_relay_and_worker_load_no_web_server_no_s3_and_no_decoders(tmp_path: Path) -> None:
    env = {"DJANGO_SETTINGS_MODULE": "comfysaas.settings", "DATA_DIR": str(tmp_path), "SECRET_KEY": "x" * 50}
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
