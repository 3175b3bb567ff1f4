"""Every setting that comes from the environment: its name, type, default and meaning.

`docs/configuration.md` is generated from this file (`manage.py configuration`), so a variable that is not
declared here does not exist.
"""

from __future__ import annotations

import secrets
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

CommaList = Annotated[tuple[str, ...], NoDecode]
OIDC = "openid_connect"


class SignInProvider(BaseModel):
    """A service that people may sign in with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str = Field(pattern=r"^[a-z0-9_]+$")
    """One of django-allauth's, such as google or github; openid_connect for any server that speaks OpenID Connect."""
    client_id: str = Field(min_length=1)
    secret: SecretStr
    id: str = Field("", pattern=r"^[a-z0-9-]*$")
    """Of an OpenID Connect server: it is in the address that the server sends people back to."""
    name: str = ""
    server_url: str = ""
    signup: bool = False
    """Whether people whom it sends may create an account although sign-up is closed."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if find_spec(f"allauth.socialaccount.providers.{self.provider}") is None:
            msg = f"“{self.provider}” is no provider of django-allauth; use openid_connect for a server of your own"
            raise ValueError(msg)
        if self.provider == OIDC and not (self.id and self.name and self.server_url):
            msg = "openid_connect needs an id, a name and a server_url"
            raise ValueError(msg)
        return self


class Env(BaseSettings):
    """The environment, checked once at start-up. A wrong or missing value stops the process and is named."""

    model_config = SettingsConfigDict(case_sensitive=False, extra="ignore", env_ignore_empty=True)

    # -- where it lives
    public_url: str = Field(
        "",
        description="The site's address in browsers, such as https://studio.example.com or https://example.com/studio. "
        "Sets the allowed host, secure cookies (https), the path of the site, and all links in mails, API answers and "
        "webhooks. Default: http://127.0.0.1:PORT.",
    )
    host: str = Field("127.0.0.1", description="Address that `manage.py standalone` listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port of `manage.py standalone`.")
    data_dir: Path = Field(
        Path("var"), description="Folder for the files of a standalone server: SQLite database, media, secret key."
    )
    allowed_hosts: CommaList = Field(
        (), description="Host names of the site besides PUBLIC_URL's, separated by commas."
    )
    trust_proxy_headers: bool = Field(
        False,
        description="Set to true behind a reverse proxy that sets X-Forwarded-Proto and X-Forwarded-For.",
    )
    trusted_proxy_count: int = Field(
        1,
        ge=1,
        description="With TRUST_PROXY_HEADERS, how many of your own proxies a request passes. Each of them appends to "
        "X-Forwarded-For. 2 is for a content delivery network before a reverse proxy.",
    )
    time_zone: str = Field(
        "UTC",
        description="Time zone of pages, and of %date:…% in file names, such as Europe/Berlin.",
    )
    debug: bool = Field(
        False, description="Django's debug mode, which shows internals to everybody. Never use it in production."
    )
    log_level: str = Field("INFO", description="Level of the log on stderr: DEBUG, INFO, WARNING or ERROR.")

    # -- secrets
    secret_key: SecretStr | None = Field(
        None,
        description="Signs sessions and encrypts stored secrets. Required with DATABASE_URL or REDIS_URL; "
        "without them, generated and kept in DATA_DIR.",
    )
    secret_key_fallbacks: CommaList = Field(
        (), description="Former values of SECRET_KEY, separated by commas, which still work while you rotate it."
    )

    # -- cluster
    database_url: SecretStr | None = Field(
        None, description="`postgresql://user:password@host:5432/name`. Default: SQLite in DATA_DIR."
    )
    database_pool_size: int = Field(
        10,
        ge=1,
        description="Most PostgreSQL connections of one web process. A worker keeps one for each task that it runs at "
        "a time, a relay one for each server that it works for and two more.",
    )
    database_prepared: bool = Field(
        True,
        description="Set to false behind a pooler that hands connections from one transaction to the next and does not "
        "know prepared statements, such as PgBouncer before 1.22, or with `max_prepared_statements` at 0. PostgreSQL "
        "then plans each statement anew.",
    )
    redis_url: SecretStr | None = Field(
        None,
        description="`redis://host:6379/0`: channel layer, cache and Celery broker. Default: in memory. `rediss://` is "
        "TLS, and all three verify the server's certificate and its name: `?ssl_ca_certs=/path/to/ca.pem` names your "
        "own authority, `?ssl_cert_reqs=none` trusts whoever answers.",
    )
    s3_bucket: str | None = Field(None, description="Bucket for results. Default: files in DATA_DIR/media.")
    s3_endpoint_url: str | None = Field(None, description="Address of an S3-compatible server. Default: AWS.")
    s3_public_endpoint_url: str | None = Field(
        None,
        description="Address of that server for browsers, if it differs. Links to results use it.",
    )
    s3_region: str = Field("us-east-1", description="Region of the bucket.")
    s3_access_key_id: SecretStr | None = Field(
        None, description="S3 credentials. Default: boto3 searches for them (instance role, files)."
    )
    s3_secret_access_key: SecretStr | None = Field(None, description="See S3_ACCESS_KEY_ID.")
    s3_checksums: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether uploads to S3 carry checksums; `auto` stops when the server refuses them. Without "
        "checksums, each upload is read back and compared.",
    )
    signed_url_seconds: int = Field(900, ge=30, description="How long a link to a result works, in seconds.")

    # -- ComfyUI
    comfyui_urls: CommaList = Field(
        (),
        description="ComfyUI servers of `manage.py standalone`, separated by commas. Default: the bundled simulator. "
        "In a cluster, add servers in the admin.",
    )
    simulator_object_info: Path | None = Field(
        None,
        description="File with the node types of a real ComfyUI, saved with `curl -o object_info.json "
        "http://HOST:8188/object_info`. The bundled simulator then imports and checks workflows like that server. A "
        "generation fails at the first node that the simulator cannot run. Only without COMFYUI_URLS.",
    )
    max_attempts: int = Field(
        2, ge=1, description="A generation that servers have lost this many times fails. Before, it is queued again."
    )
    retention_days: int = Field(
        0, ge=0, description="Days after which finished generations and their files are deleted. 0 keeps them."
    )
    max_upload_mb: int = Field(50, ge=1, description="Largest file that a user may upload, in MB.")

    # -- API
    cors_allowed_origins: CommaList = Field(
        (),
        description="Web sites whose pages may call the API with a key, such as https://app.example.com, separated by "
        "commas.",
    )
    outbound_allowed_networks: CommaList = Field(
        (),
        description="Private networks that webhooks and inputs by address may reach, such as 10.1.0.0/16, separated "
        "by commas. Addresses there may begin with http://; all others need https://.",
    )

    # -- accounts
    anonymous_pages_per_minute: int = Field(
        600,
        ge=0,
        description="Pages that people who are not signed in may open from one IP address. 0 means no limit.",
    )
    signup_open: bool = Field(
        False,
        description="Lets anybody create an account. They must confirm their address by mail, so set EMAIL_HOST. "
        "Otherwise staff create accounts.",
    )
    signup_by_invitation: bool = Field(
        False,
        description="Lets people who were invited to a workspace create an account with the address that was invited. "
        "With SIGNUP_OPEN, anybody may anyway.",
    )
    sign_in_providers: tuple[SignInProvider, ...] = Field(
        (),
        description="Google, GitHub and other services that people may sign in with, as a JSON list such as "
        '`[{"provider": "google", "client_id": "…", "secret": "…"}]`. docs/admin.md has one of each kind.',
    )
    appeal_email: str = Field(
        "", description="Address that people may write to whose account was suspended. Default: none is named."
    )
    email_host: str = Field(
        "",
        description="SMTP server for all mails. Default: `manage.py standalone` shows mails to staff at /outbox/, a "
        "cluster prints them on stdout.",
    )
    email_port: int = Field(587, ge=1, le=65535, description="Port of the SMTP server.")
    email_security: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="How the connection to the SMTP server is encrypted: `starttls` (usually port 587), `tls` from the "
        "start (port 465), or `none`. The server's certificate is verified.",
    )
    email_host_user: str = Field("", description="User name for the SMTP server.")
    email_host_password: SecretStr | None = Field(None, description="Password for the SMTP server.")
    email_from: str = Field("comfysaas@localhost", description="Sender address of mails.")
    admin_password: SecretStr | None = Field(
        None, description="Password of admin@example.com on the first standalone start. Default: generated."
    )
    demo_password: SecretStr | None = Field(
        None, description="Password of demo@example.com on the first standalone start. Default: generated."
    )

    @field_validator(
        "comfyui_urls",
        "allowed_hosts",
        "secret_key_fallbacks",
        "cors_allowed_origins",
        "outbound_allowed_networks",
        mode="before",
    )
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("sign_in_providers")
    @classmethod
    def _are_told_apart(cls, value: tuple[SignInProvider, ...]) -> tuple[SignInProvider, ...]:
        ids = [each.id or each.provider for each in value]
        if len(set(ids)) < len(ids):
            msg = "two providers have the same id"
            raise ValueError(msg)
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_time_zone(cls, value: str) -> str:
        if value not in available_timezones():
            msg = f"“{value}” is not a time zone; use a name such as Europe/Berlin"
            raise ValueError(msg)
        return value

    @field_validator("redis_url")
    @classmethod
    def _says_whether_certificates_count(cls, value: SecretStr | None) -> SecretStr | None:
        """An address that does not say so is verified by the cache and the channel layer, but not by Celery (kombu's
        `Connection`, which takes no options for CERT_NONE).
        """
        if value is None:
            return None
        parts = urlsplit(value.get_secret_value())
        if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
            msg = "must be an address such as redis://host:6379/0, or rediss://host:6379/0 for TLS"
            raise ValueError(msg)
        if parts.scheme == "redis":
            return value
        query = dict(parse_qsl(parts.query))
        # Celery reads CERT_NONE, too, which the other two do not know.
        wanted = query.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
        if wanted not in {"required", "optional", "none"}:
            msg = "ssl_cert_reqs must be required, optional or none"
            raise ValueError(msg)
        return SecretStr(urlunsplit(parts._replace(query=urlencode({**query, "ssl_cert_reqs": wanted}))))

    @field_validator("outbound_allowed_networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            ip_network(each)  # its message says what is wrong
        return value

    @field_validator("cors_allowed_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            parts = urlsplit(each)
            if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query:
                msg = "must be origins such as https://app.example.com, without a path"
                raise ValueError(msg)
        return value

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            msg = "must be an address such as postgresql://user:password@host:5432/name"
            raise ValueError(msg)
        return value

    @field_validator("public_url", "s3_endpoint_url", "s3_public_endpoint_url")
    @classmethod
    def _is_http_url(cls, value: str | None) -> str | None:
        if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            msg = "must be an address such as https://studio.example.com"
            raise ValueError(msg)
        return value.rstrip("/") if value else value

    @model_validator(mode="after")
    def _values_fit_together(self) -> Self:
        self.public_url = self.public_url or f"http://127.0.0.1:{self.port}"
        if self.is_cluster and self.secret_key is None:
            msg = "SECRET_KEY is required when DATABASE_URL or REDIS_URL is set (50 random characters or more)"
            raise ValueError(msg)
        if self.secret_key is not None and len(self.secret_key.get_secret_value()) < 32:
            msg = "SECRET_KEY is too short: use 50 random characters or more"
            raise ValueError(msg)
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            msg = "S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY need each other: set both or neither"
            raise ValueError(msg)
        return self

    @property
    def is_cluster(self) -> bool:
        """True when this process shares its database or its messages with others."""
        return self.database_url is not None or self.redis_url is not None

    @property
    def public_host(self) -> str:
        """Host name of PUBLIC_URL, without the port."""
        return urlsplit(self.public_url).hostname or "127.0.0.1"

    @property
    def database_file(self) -> Path:
        """The SQLite database that is used without DATABASE_URL."""
        return self.data_dir.resolve() / "comfysaas.sqlite3"

    def read_secret_key(self) -> str:
        """SECRET_KEY, or the one kept in DATA_DIR. OSError when that cannot be read.

        Before there is a database, a new one that is not kept: what only reads leaves nothing behind.
        """
        if self.secret_key is not None:
            return self.secret_key.get_secret_value()
        kept = self._secret_key_file.read_text().strip() if self._secret_key_file.exists() else ""
        if kept:
            return kept
        new = secrets.token_urlsafe(50)
        return self._keep(new) if self.database_file.exists() else new

    def prepare_data_dir(self, secret_key: str) -> None:
        """Make DATA_DIR with an empty database and this secret key, as far as they are missing. OSError.

        Nothing to do with DATABASE_URL: then the data lies elsewhere.
        """
        if self.database_url is None:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            if self.secret_key is None:
                self._keep(secret_key)
            self.database_file.touch()

    @property
    def _secret_key_file(self) -> Path:
        return self.data_dir / "secret_key"

    def _keep(self, secret_key: str) -> str:
        """The kept key: this one, unless there is one already. Mode 0600; half-written by a crash is not kept."""
        path = self._secret_key_file
        if not path.exists() or not path.stat().st_size:
            path.touch(mode=0o600)
            path.write_text(secret_key)
        return path.read_text().strip()
