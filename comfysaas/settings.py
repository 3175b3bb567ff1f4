"""Django settings, all derived from the environment (comfysaas/env.py)."""

from __future__ import annotations

import hashlib
import re
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
import django_stubs_ext
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy
from pydantic import SecretStr, ValidationError

from comfysaas import __version__
from comfysaas.env import Env

django_stubs_ext.monkeypatch()  # lets Django's generic classes be written with their parameter, as mypy wants it

try:
    ENV = Env()
except ValidationError as error:
    problems = "; ".join(
        f"{'.'.join(map(str, problem['loc'])).upper() or 'environment'}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False)
    )
    msg = f"Cannot start: {problems}"
    raise ImproperlyConfigured(msg) from None


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


VERSION = __version__
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = ENV.data_dir.resolve()
IS_CLUSTER = ENV.is_cluster
IS_HTTPS = ENV.public_url.startswith("https://")
PUBLIC_URL = ENV.public_url
# Links are made of these two and never of the Host header, which the sender of a request chooses.
PUBLIC_ORIGIN = f"{urlsplit(PUBLIC_URL).scheme}://{urlsplit(PUBLIC_URL).netloc}"
ROOT_PATH = f"{urlsplit(PUBLIC_URL).path.rstrip('/')}/"  # where everything lies below: "/", or such as "/studio/"

# ---------------------------------------------------------------------------------------------- security
try:
    SECRET_KEY = ENV.read_secret_key()
except OSError as error:
    msg = f"Cannot start: DATA_DIR={DATA_DIR} cannot be used ({error.strerror})"
    raise ImproperlyConfigured(msg) from None
SECRET_KEY_FALLBACKS = list(ENV.secret_key_fallbacks)
SALT_KEY = "comfysaas.encrypted-fields"
DEBUG = ENV.debug
ALLOWED_HOSTS = [ENV.public_host, "127.0.0.1", "localhost", "[::1]", *ENV.allowed_hosts]
CSRF_TRUSTED_ORIGINS = [PUBLIC_ORIGIN]
CSRF_FAILURE_VIEW = "comfysaas.refusing.csrf_failure"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = ROOT_PATH
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_SSL_REDIRECT = False  # the proxy in front does it; the health checks must answer over http
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if ENV.trust_proxy_headers:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    USE_X_FORWARDED_HOST = True

# Only the API may be called from pages of other sites, with a key: cookies are never taken from there.
CORS_ALLOWED_ORIGINS = list(ENV.cors_allowed_origins)
CORS_URLS_REGEX = rf"^{re.escape(ROOT_PATH)}api/"
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_HEADERS = ["authorization", "content-type", "idempotency-key", "range", "x-comfy-workspace-id"]
CORS_EXPOSE_HEADERS = [
    "content-range", "location", "ratelimit-limit", "ratelimit-policy", "ratelimit-remaining", "ratelimit-reset",
    "retry-after", "x-comfy-request-id",
]  # fmt: skip
OUTBOUND_ALLOWED_NETWORKS = [ip_network(each) for each in ENV.outbound_allowed_networks]

# ---------------------------------------------------------------------------------------------- apps
INSTALLED_APPS = [
    # As an app it is only its `runserver`, and 20 MB of Twisted in every relay and worker.
    *(["daphne"] if "runserver" in sys.argv else []),
    "servestatic",
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    *sorted({f"allauth.socialaccount.providers.{each.provider}" for each in ENV.sign_in_providers}),
    "allauth.usersessions",
    "channels",
    "corsheaders",
    "csp",
    "django_htmx",
    "ninja",
    "comfysaas",
    "accounts",
    "generations",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "comfysaas.staticfiles.StaticFiles",
    "corsheaders.middleware.CorsMiddleware",
    "comfysaas.middleware.ContentSecurityPolicy",
    "comfysaas.middleware.Refusals",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "comfysaas.middleware.Messages",
    "comfysaas.impersonating.Impersonating",
    "accounts.time_zones.TimeZone",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "comfysaas.middleware.MethodPage",
    "comfysaas.middleware.SignInAgain",
    "comfysaas.middleware.PageLimits",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.sessions.Activity",
    "accounts.providers.LeaveByPage",
]
ROOT_URLCONF = "comfysaas.urls"
ASGI_APPLICATION = "comfysaas.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "comfysaas" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "accounts.context.sign_up",
                "accounts.context.workspaces",
                "accounts.second_factor.passkeys",
                "accounts.context.impersonation",
            ],
        },
    },
]

# ---------------------------------------------------------------------------------------------- database
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
if ENV.database_url:
    DATABASES: dict[str, Any] = {"default": dict(dj_database_url.parse(ENV.database_url.get_secret_value()))}
    if DATABASES["default"]["ENGINE"].endswith("postgresql"):
        DATABASES["default"]["ENGINE"] = "comfysaas.postgresql"  # which checks connections of the pool itself
        DATABASES["default"]["OPTIONS"] = {
            **DATABASES["default"].get("OPTIONS", {}),
            "prepare_threshold": 5 if ENV.database_prepared else None,  # what is not meant to be prepared never is
            "pool": {"min_size": 0, "max_size": ENV.database_pool_size, "timeout": 15},
        }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            # Opened only if it is there: `migrate` makes it, and a command in the wrong folder makes nothing.
            "NAME": f"{ENV.database_file.as_uri()}?mode=rw",
            "TEST": {"NAME": str(DATA_DIR / "test.sqlite3")},  # a file: threads lock each other out in memory
            "OPTIONS": {
                # One writer at a time, and it says so when its transaction begins: without this, a read that
                # turns into a write fails at once with "database is locked" instead of waiting its turn.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    }

# ---------------------------------------------------------------------------------------------- messages
REDIS_URL = _reveal(ENV.redis_url)
# Seconds. Without them, requests wait for ever for a Redis that never answers. Workers wait a second in BRPOP.
CACHE_TIMEOUTS = {"socket_connect_timeout": 1, "socket_timeout": 1}
BROKER_PATIENCE = {"socket_connect_timeout": 2, "socket_timeout": 3, "max_retries": 0}
# Redis passes messages on regardless of its database numbers: two installations on one Redis must not hear each other.
_INSTALLATION = hashlib.sha256(f"{SECRET_KEY} {DATABASES['default']['NAME']}".encode()).hexdigest()[:12]
CHANNEL_PREFIX = f"comfysaas-{_INSTALLATION}"
if REDIS_URL:
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [REDIS_URL], "prefix": CHANNEL_PREFIX},
        }
    }
    CACHES: dict[str, Any] = {
        "default": {
            "BACKEND": "comfysaas.cache.SharedRedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": f"comfysaas-{_INSTALLATION}",
            "VERSION": 2,  # apart from the pickled values of releases before, which may run beside this one
            "OPTIONS": {
                "serializer": "comfysaas.cache.JsonSerializer",
                "health_check_interval": 30,  # a connection that was idle for longer is tried before it is used
                **CACHE_TIMEOUTS,
            },
        }
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "OPTIONS": {"MAX_ENTRIES": 10_000},
        }
    }

CELERY_BROKER_URL = REDIS_URL or "memory://localhost"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_POOL = "threads"  # tasks wait for networks and disks; a process for each slot would be 140 MB for each
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_PUBLISH_RETRY = False  # requests do not wait for the broker: `sweep` finds what it did not take
# In memory, the worker looks for messages itself, once a second unless told otherwise.
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {
        "visibility_timeout": 3600,
        "global_keyprefix": f"comfysaas-{_INSTALLATION}.",
        **BROKER_PATIENCE,
    }
    if REDIS_URL
    else {"polling_interval": 0.005}
)
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"  # keeps no file: the schedule is short and harmless to repeat
SWEEP_SECONDS = 5.0
HOUSEKEEPING_SECONDS = 600.0
NOTICE_SECONDS = 60.0
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "generations.tasks.sweep", "schedule": SWEEP_SECONDS},
    "expire": {"task": "generations.tasks.expire", "schedule": HOUSEKEEPING_SECONDS},
    "dissolve": {"task": "accounts.tasks.delete_dissolved", "schedule": HOUSEKEEPING_SECONDS},
    "accounts": {"task": "generations.tasks.delete_accounts", "schedule": HOUSEKEEPING_SECONDS},
    "exports": {"task": "generations.tasks.tidy_exports", "schedule": 60.0},
    "notices": {"task": "generations.tasks.mail_ends", "schedule": NOTICE_SECONDS},
    "tidy": {"task": "generations.tasks.tidy_storage", "schedule": 24 * 3600.0},
    **({"mail": {"task": "comfysaas.mail.send_mails", "schedule": SWEEP_SECONDS}} if ENV.email_host else {}),
    "old mail": {"task": "comfysaas.mail.forget_mails", "schedule": 24 * 3600.0},
}

# ---------------------------------------------------------------------------------------------- files
STATIC_URL = f"{ROOT_PATH}static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = BASE_DIR / "staticfiles"
# An image that was built for production has run collectstatic: hashed names, compressed, cached for ever. A clone
# that was just started has not, and serves the same files from where they lie.
HAS_COLLECTED_STATIC = (STATIC_ROOT / "staticfiles.json").exists()
SERVESTATIC_USE_FINDERS = not HAS_COLLECTED_STATIC
SERVESTATIC_AUTOREFRESH = False
SERVESTATIC_MAX_AGE = 0 if not HAS_COLLECTED_STATIC else 3600

MEDIA_ROOT = DATA_DIR / "media"
S3_BUCKET = ENV.s3_bucket
if S3_BUCKET:
    _S3_OPTIONS = {
        "bucket_name": S3_BUCKET,
        "endpoint_url": ENV.s3_endpoint_url,
        "region_name": ENV.s3_region,
        "access_key": _reveal(ENV.s3_access_key_id),
        "secret_key": _reveal(ENV.s3_secret_access_key),
        "default_acl": None,
        "querystring_auth": True,
        "querystring_expire": ENV.signed_url_seconds,
        "file_overwrite": True,
        "signature_version": "s3v4",
        "addressing_style": "path" if ENV.s3_endpoint_url else None,
        "checksums": ENV.s3_checksums,
    }
    _MEDIA_STORAGE = {"BACKEND": "generations.files.buckets.BucketStorage", "OPTIONS": _S3_OPTIONS}
    # Signs links for browsers, which may reach the S3 server under another address than we do.
    _SIGNING_STORAGE = {
        "BACKEND": "generations.files.buckets.BucketStorage",
        "OPTIONS": {**_S3_OPTIONS, "endpoint_url": ENV.s3_public_endpoint_url or ENV.s3_endpoint_url},
    }
else:
    _MEDIA_STORAGE = _SIGNING_STORAGE = {
        "BACKEND": "generations.files.backends.DiskStorage",
        "OPTIONS": {"location": str(MEDIA_ROOT), "allow_overwrite": True},
    }
STORAGES = {
    "default": _MEDIA_STORAGE,
    "signing": _SIGNING_STORAGE,
    "staticfiles": {
        "BACKEND": "comfysaas.staticfiles.HashedStaticFiles"
        if HAS_COLLECTED_STATIC or "collectstatic" in sys.argv
        else "django.contrib.staticfiles.storage.StaticFilesStorage",
    },
}
SIGNED_URL_SECONDS = ENV.signed_url_seconds
MAX_UPLOAD_BYTES = ENV.max_upload_mb * 1024 * 1024
MAX_FORM_BYTES = 4 * MAX_UPLOAD_BYTES + 1024 * 1024  # files and texts in one form
DATA_UPLOAD_MAX_NUMBER_FILES = 1000  # so that pages get to say how many they take
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024

# ---------------------------------------------------------------------------------------------- accounts
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = reverse_lazy("account_login")
LOGIN_REDIRECT_URL = ROOT_PATH
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
# Without it, signing up would show who has an account, and people could make keys with other people's addresses. Users
# whom staff made are verified already.
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True  # in the browser that signed up, and in no other
ACCOUNT_CHANGE_EMAIL = True  # an account has one address; a new one takes its place once it is confirmed
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # before an address, a password or another way to sign in changes
ACCOUNT_REAUTHENTICATION_TIMEOUT = 900
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if IS_HTTPS else "http"
PASSWORD_RESET_TIMEOUT = 3 * 24 * 3600  # as long as a mail may be on its way (accounts/models/outgoing_mail.py)
ACCOUNT_FORMS = {
    "login": "accounts.forms.LoginForm",
    "reset_password": "accounts.forms.ForgotPasswordForm",
    "signup": "accounts.forms.SignupForm",
    "add_email": "accounts.forms.ChangeAddressForm",
    "change_password": "accounts.forms.ChangePasswordForm",
    "reset_password_from_key": "accounts.forms.ResetPasswordForm",
}
# See accounts.adapter: the key of login_failed is account and address, so that nobody locks others out.
ACCOUNT_RATE_LIMITS = {
    "login_failed": "10/m/ip,5/5m/key,50/d/key",  # the key of a second factor is its owner
    "login_failed_anywhere": "100/h/key",
    "login_failed_device": "5/5m/key",
    "signup": "20/m/ip,100/h/ip",
    "reset_password": "20/m/ip,100/h/ip,5/m/key,20/d/key",  # of the hour as well: name+1@, name+2@ are one mailbox
    "confirm_email": "5/10m/key,50/d/key",  # whoever only claims an address must not use up its owner's mails
    "code_sent": "5/h/user,20/d/user",
    "code_tried": "5/10m/user,30/d/user",
    "manage_email": "10/m/user,30/d/user",
}
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_LOGOUT_REDIRECT_URL = ROOT_PATH
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = f"[{ENV.public_host}] "
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ALLAUTH_TRUSTED_PROXY_COUNT = ENV.trusted_proxy_count if ENV.trust_proxy_headers else 0
SIGNUP_OPEN = ENV.signup_open
APPEAL_EMAIL = ENV.appeal_email
SIGNUP_BY_INVITATION = ENV.signup_by_invitation
ANONYMOUS_PAGES_PER_MINUTE = ENV.anonymous_pages_per_minute

MFA_ADAPTER = "accounts.second_factor.SecondFactorAdapter"
MFA_FORMS = {
    "authenticate": "accounts.second_factor.CodeForm",
    "reauthenticate": "accounts.second_factor.CodeAgainForm",
    "add_webauthn": "accounts.second_factor.AddPasskeyForm",
    "edit_webauthn": "accounts.second_factor.RenamePasskeyForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True  # nobody signs in unverified; otherwise those with 2FA could not change their address
MFA_TOTP_TOLERANCE = 1  # phones' clocks are not exact
MFA_TOTP_ISSUER = ENV.public_host

USERSESSIONS_ADAPTER = "accounts.sessions.SessionsAdapter"

SOCIALACCOUNT_ADAPTER = "accounts.providers.ProvidersAdapter"
SOCIALACCOUNT_FORMS = {"signup": "accounts.forms.ProviderSignupForm"}
# What a provider says of an address never opens an account that is there already (see accounts.providers).
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_STORE_TOKENS = False
SIGN_IN_PROVIDERS = ENV.sign_in_providers
SOCIALACCOUNT_PROVIDERS: dict[str, dict[str, Any]] = {}
for _each in SIGN_IN_PROVIDERS:
    _provider = SOCIALACCOUNT_PROVIDERS.setdefault(_each.provider, {"OAUTH_PKCE_ENABLED": True, "APPS": []})
    _provider["APPS"].append(
        {
            "provider_id": _each.id or _each.provider,
            "name": _each.name,
            "client_id": _each.client_id,
            "secret": _each.secret.get_secret_value(),
            "settings": {"server_url": _each.server_url, "oauth_pkce_enabled": True},
        }
    )

# Requests write mails into the database; workers send them (comfysaas/mail.py). A site for one machine without a mail
# server keeps them to be read at /outbox/.
EMAIL_BACKEND = (
    "comfysaas.mail.Outbox" if ENV.email_host or not IS_CLUSTER else "django.core.mail.backends.console.EmailBackend"
)
EMAIL_HOST, EMAIL_PORT = ENV.email_host, ENV.email_port
EMAIL_USE_TLS, EMAIL_USE_SSL = ENV.email_security == "starttls", ENV.email_security == "tls"
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = ENV.email_host_user, _reveal(ENV.email_host_password) or ""
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = ENV.email_from

# ---------------------------------------------------------------------------------------------- pages
LANGUAGE_CODE = "en"
TIME_ZONE = ENV.time_zone
USE_I18N = False
USE_TZ = True
_S3_ORIGIN = ENV.s3_public_endpoint_url or ENV.s3_endpoint_url
_MEDIA_SOURCES = (
    [f"{urlsplit(_S3_ORIGIN).scheme}://{urlsplit(_S3_ORIGIN).netloc}"]
    if _S3_ORIGIN
    else [f"https://{S3_BUCKET}.s3.amazonaws.com", f"https://{S3_BUCKET}.s3.{ENV.s3_region}.amazonaws.com"]
    if S3_BUCKET
    else []
)
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:", *_MEDIA_SOURCES],
        "media-src": [SELF, "blob:", *_MEDIA_SOURCES],
        "connect-src": [SELF],
        "font-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    },
}
UNFOLD = {
    "SITE_TITLE": "comfysaas",
    "SITE_HEADER": "comfysaas",
    "SITE_URL": ROOT_PATH,
    "SHOW_HISTORY": True,
}

# ---------------------------------------------------------------------------------------------- generations
COMFYUI_URLS = ENV.comfyui_urls
MAX_ATTEMPTS = ENV.max_attempts
RETENTION_DAYS = ENV.retention_days

# ---------------------------------------------------------------------------------------------- log
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": ENV.log_level},
    "loggers": {
        "daphne": {"level": "WARNING"},
        "django.channels.server": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "botocore": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
    },
}
