"""`make test-sdk-js`: the official TypeScript SDK, and the documentation's TypeScript, against a server of its own.

Needs Node 20 or newer with npm; what it installs lies in build/sdk_js.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.support.examples import examples
from tests.support.processes import ROOT, Standalone

SOURCE = ROOT / "tests" / "sdk_js"
FOLDER = ROOT / "build" / "sdk_js"


def main() -> None:
    """Exits with the first failure."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is needed: install Node 20 or newer.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    shutil.copy(SOURCE / "package.json", FOLDER)
    shutil.copy(SOURCE / "sdk.test.ts", FOLDER)
    Image.new("RGB", (24, 16), "orange").save(FOLDER / "photo.png")
    install = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel", "error"]
    subprocess.run(install, cwd=FOLDER, check=True)
    with tempfile.TemporaryDirectory() as folder:
        server = Standalone(Path(folder), ADMIN_PASSWORD="an admin's one", DEMO_PASSWORD="a demo's one")
        try:
            sys.exit(_run(server))
        finally:
            server.stop()


def _run(server: Standalone) -> int:
    raw, plain = (server.manage("create_api_key", f"{name}@example.com") for name in ("admin", "demo"))
    env = {
        **os.environ, "COMFY_BASE_URL": server.url, "BASE": f"{server.url}/api/v2", "KEY": raw, "COMFY_API_KEY": raw,
        "RAW_KEY": raw, "PLAIN_KEY": plain, "PICTURE_FILE": str(FOLDER / "photo.png"),
        "GRAPH_FILE": str(ROOT / "generations" / "studio" / "starters" / "text-to-image.json"),
    }  # fmt: skip
    shutil.copy(ROOT / "docs" / "examples" / "workflow_api.json", FOLDER)

    def node(*arguments: str) -> int:
        return subprocess.run(["node", "--import", "tsx", *arguments], check=False, cwd=FOLDER, env=env).returncode

    code = node("--test", "sdk.test.ts")
    found = examples("ts")
    for number, example in enumerate(found, 1):
        path = FOLDER / f"example{number}.ts"
        path.write_text(example)
        result = node(path.name)
        sys.stdout.write(f"example {number} of {len(found)}: {'FAILED' if result else 'ok'}\n")
        code = code or result
    return code


if __name__ == "__main__":
    main()
