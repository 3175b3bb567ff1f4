"""Who gets which bytes: every address that hands out a file, for everybody, from a disk and from S3."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.conf import settings as site
from django.core.files.base import ContentFile
from django.test import Client
from django.utils import timezone

from accounts import profile
from accounts.models import User
from generations.models import DataExport, Status
from generations.models.template import Visibility
from tests.generations.files.stored import stored, write
from tests.support.callers import CALLERS, headers_of
from tests.support.factories import make_asset, make_generation, make_output, make_template
from tests.support.matrix import Cast, ask, make_cast, read
from tests.support.pictures import png
from tests.support.s3 import BUCKET, running_s3, storage_settings

# “yes”: the bytes, or a signed address that leads to them; “login”: led to the page that signs in; else the status.
# Everything is the team's, and its owner's; the template is for the team alone. Who the callers are:
# `tests/support/callers.py`. A key opens no page, and the API knows whoever has a session.
ROWS = read(
    """
caller       asset  asset-thumbnail api:getAssetContent text template-cover admin:template_cover avatar data-download
anonymous    login  login           401                 401  login          login                login  login
bad-key      login  login           401                 401  login          login                login  login
revoked-key  login  login           401                 401  login          login                login  login
wrong-scope  login  login           403                 403  login          login                login  login
silenced     login  login           403                 403  login          login                login  login
left-key     login  login           401                 401  login          login                login  login
elsewhere    login  login           404                 404  login          login                login  login
key          login  login           yes                 yes  login          login                login  login
suspended    403    403             403                 403  403            403                  403    403
left         404    404             404                 404  404            login                404    404
stranger     404    404             404                 404  404            login                404    404
member       yes    yes             yes                 yes  yes            login                yes    404
admin        yes    yes             yes                 yes  yes            login                yes    404
owner        yes    yes             yes                 yes  yes            login                yes    yes
impersonator yes    yes             yes                 yes  yes            403                  yes    403
staff        404    404             404                 404  yes            yes                  404    404
"""
)
VIEWS = {
    "generations/web/files.py:asset",
    "generations/web/files.py:thumbnail",
    "generations/web/files.py:cover",
    "generations/web/profile.py:avatar",
    "generations/web/data.py:download",
    "generations/admin/templates.py:cover",
    "generations/api/assets.py:get_content",
}
ROOT = Path(__file__).parents[3]
PLACES = ("disk", pytest.param("s3", marks=pytest.mark.s3))
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators"),
]


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with running_s3() as url:
        yield url


@pytest.fixture
def place(request: pytest.FixtureRequest, settings: Any) -> str:
    """Where files lie in this test."""
    name: str = request.param
    if name == "s3":
        settings.STORAGES = {**settings.STORAGES, **storage_settings(request.getfixturevalue("s3_url"))}
        settings.S3_BUCKET = BUCKET
    return name


@pytest.fixture
def cast(owner: User, stranger: User, staff: User) -> Cast:
    return make_cast(owner, stranger, staff)


class Files:
    """One file of each kind: the team's, made by its owner. Addresses and bytes by column."""

    def __init__(self, cast: Cast) -> None:
        owner, team = cast.owner, cast.team
        template = make_template(visibility=Visibility.WORKSPACES)
        template.workspaces.add(team)
        template.cover.save("cover.png", ContentFile(png("teal")))
        generation = make_generation(owner, status=Status.SUCCEEDED, workspace=team, template=template)
        self.result = make_output(generation, asset=make_asset(owner, png("olive"), workspace=team)).asset
        self.upload = make_asset(owner, png("navy"), name="navy.png", workspace=team)
        text = make_output(generation, position=1, value="a secret text")
        profile.set_avatar(owner, b"RIFF1234WEBPVP8 a face")
        write("exports/1.zip", b"an archive")
        now = timezone.now()
        export = DataExport.objects.create(user=owner, created_at=now - timedelta(2))
        fields = {"state": "ready", "key": "exports/1.zip", "size_bytes": 10, "expires_at": now + timedelta(2)}
        DataExport.objects.update(**fields)
        assets = (self.result, self.upload)
        self.addresses = {
            "asset": [f"/assets/{each.pk}/{more}" for each in assets for more in ("", "?download=1")],
            "asset-thumbnail": [f"/assets/{each.pk}/thumbnail/" for each in assets],
            "api:getAssetContent": [f"/api/v2/assets/{each.pk}/content" for each in assets],
            "text": [f"/api/v2/assets/{text.public_id}/content"],
            "template-cover": [f"/templates/{template.slug}/cover/"],
            "admin:template_cover": [f"/admin/generations/workflowtemplate/{template.pk}/cover/"],
            "avatar": [f"/account/people/{owner.pk}/picture/"],
            "data-download": [f"/account/data/{export.pk}/"],
        }
        self.keys = [*(each.key for each in assets), *(each.thumbnail_key for each in assets), template.cover.name]
        self.keys.append("exports/1.zip")
        self.bytes = [stored(key) for key in self.keys] + [b"a secret text", b"RIFF1234WEBPVP8 a face"]


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.parametrize("kind", list(ROWS["owner"]))
def test_access(kind: str, place: str, cast: Cast) -> None:
    files = Files(cast)
    for address in files.addresses[kind]:

        def send(caller: str, address: str = address) -> str:
            return answer_of(Client(headers=headers_of(caller, cast)), address, files)

        assert ask(CALLERS, send) == {caller: row[kind] for caller, row in ROWS.items()}, address


def answer_of(client: Client, address: str, files: Files) -> str:
    """As in ROWS. Whoever gets no bytes gets no signed address, either, and a HEAD tells the same."""
    response = client.get(address)
    if not address.startswith(("/api/", "/admin/")) and response.status_code != 403:  # which signs suspended people out
        assert client.head(address).status_code == response.status_code
    body, target = b"".join(response), response.headers.get("Location", "")
    if "X-Amz-Signature" in target:
        assert "private" in response["Cache-Control"]
        return "yes" if httpx.get(target).content in files.bytes else "other bytes"
    if response.status_code == 200:
        return "yes" if body in files.bytes else "other bytes"
    assert not [each for each in files.bytes if each in body]
    assert b"X-Amz-" not in body
    is_login = re.match(r"(/accounts/login/|/admin/login/)\?", target)
    return "login" if is_login else str(response.status_code)


def test_every_view_that_hands_out_files_has_a_column() -> None:
    """Views are what calls `delivery`, which alone signs addresses."""
    found, signing = set(), set()
    for path in sorted((ROOT / "generations").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for function in (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)):
            used = {ast.unparse(each) for each in ast.walk(function) if isinstance(each, ast.Attribute)}
            if any(each.startswith("delivery.serve") for each in used):
                found.add(f"{path.relative_to(ROOT)}:{function.name}")
            if "storage.signed_url" in used:
                signing.add(path.name)
    assert (found, signing) == (VIEWS, {"delivery.py"})


# ------------------------------------------------------------------------------------- raw keys
FRONTS = ("/", "/media/", "/static/", "/static/../", "/static/%2e%2e/media/", "/static//", "/assets/", "/var/media/")


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.parametrize("caller", ["anonymous", "key", "owner", "staff"])
def test_no_address_of_the_site_leads_to_a_key(caller: str, place: str, cast: Cast) -> None:
    files = Files(cast)
    client = Client(headers=headers_of(caller, cast))
    for key in files.keys:
        for front in FRONTS:
            response = client.get(f"{front}{key}")
            assert response.status_code in {302, 403, 404}, f"{front}{key}"
            assert "X-Amz-Signature" not in response.headers.get("Location", "")


def test_what_users_store_lies_nowhere_that_is_served_as_it_is() -> None:
    served = [Path(site.STATIC_ROOT), *map(Path, site.STATICFILES_DIRS)]
    assert not [each for each in served if Path(site.MEDIA_ROOT).resolve().is_relative_to(each.resolve())]
    assert not [each for each in served if each.resolve().is_relative_to(Path(site.MEDIA_ROOT).resolve())]


# ------------------------------------------------------------------------------------- signed addresses
@pytest.mark.s3
@pytest.mark.parametrize("place", ["s3"], indirect=True)
def test_a_signed_address_ends_in_time_and_says_what_the_file_is(place: str, s3_url: str, cast: Cast) -> None:
    files = Files(cast)
    page = make_asset(cast.owner, b"<script>alert(1)</script>", content_type="text/html", name="a.html")
    client = Client(headers=headers_of("owner", cast))
    for address, content_type, disposition in (
        (files.addresses["asset"][0], "image/png", "inline"),
        (files.addresses["asset"][1], "image/png", "attachment"),
        (files.addresses["api:getAssetContent"][0], "image/png", "attachment"),
        (files.addresses["asset-thumbnail"][0], "image/webp", "inline"),
        (files.addresses["data-download"][0], "application/octet-stream", "attachment"),
        (f"/assets/{page.pk}/", "application/octet-stream", "attachment"),
    ):
        target = client.get(address)["Location"]
        query = parse_qs(urlsplit(target).query)
        assert target.startswith(f"{s3_url}/{BUCKET}/")
        assert query["X-Amz-Expires"] == ["60"]  # as `storage_settings` has it
        headers = httpx.get(target).headers
        assert headers["Content-Type"] == content_type == query["response-content-type"][0]
        assert headers["Content-Disposition"] == query["response-content-disposition"][0]
        assert headers["Content-Disposition"].startswith(disposition)


@pytest.mark.s3
@pytest.mark.parametrize("place", ["s3"], indirect=True)
def test_without_a_signature_the_bucket_gives_nothing(place: str, s3_url: str, cast: Cast) -> None:
    for key in Files(cast).keys:
        assert httpx.get(f"{s3_url}/{BUCKET}/{key}").status_code == 403


def test_signed_addresses_last_as_long_as_the_setting_says() -> None:
    code = "from comfysaas import settings; print(settings.STORAGES['signing']['OPTIONS']['querystring_expire'])"
    environment = {**os.environ, "S3_BUCKET": "results", "SIGNED_URL_SECONDS": "77"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.split()[-1] == b"77"
