"""All settings, in order of reading. Environments differ by variables, never by files.

Every variable is explained in deploy/env.example.
"""

import datetime as dt
import ipaddress
import re
import zoneinfo
from pathlib import Path
from typing import Any

from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from portal.env import check_address, env, labels, read_env_file, required
from portal.logs import formatter

read_env_file()

BASE_DIR = Path(__file__).resolve().parent.parent

# --- what this installation is -------------------------------------------------------------------

DEBUG = env.bool("DEBUG", False)
SECRET_KEY = required("SECRET_KEY", why="It signs sessions and keys the fingerprints in the audit.")
VAULT_KEYS = required("VAULT_KEYS", why="It encrypts the stored IAM secrets.")
DATA_DIR = Path(env.str("DATA_DIR", str(BASE_DIR / "var" / "data")))
SITE_NAME = env.str("SITE_NAME", "Sallyport")
SUPPORT_CONTACT = env.str("SUPPORT_CONTACT", "")
# Empty: our own colour. The pages mix lighter and darker steps from it.
SITE_ACCENT = env.str("SITE_ACCENT", "")
if SITE_ACCENT and not re.fullmatch(r"#[0-9a-fA-F]{6}", SITE_ACCENT):
    raise ImproperlyConfigured(f"SITE_ACCENT is {SITE_ACCENT!r}; it is a colour like #0b6b6b.")
# A folder whose files stand in for ours of the same name, such as img/logo.svg.
BRAND_DIR = env.str("BRAND_DIR", "")
# A host with one of these labels is marked as production wherever it is shown. Case does not matter.
PRODUCTION_LABELS = labels(
    "PRODUCTION_LABELS",
    [f"{key}={value}" for key in ("env", "environment", "stage") for value in ("prod", "production", "prd", "live")],
)

CLOUD = env.str("CLOUD", "huawei")
if CLOUD not in {"huawei", "sandbox"}:
    raise ImproperlyConfigured(f"CLOUD is {CLOUD!r}; it is huawei or sandbox.")
IS_SANDBOX = CLOUD == "sandbox"
ALLOW_SANDBOX = env.bool("ALLOW_SANDBOX", False)
if DEBUG and not IS_SANDBOX:
    raise ImproperlyConfigured("DEBUG shows tokens on error pages; it is for CLOUD=sandbox only.")

# --- web -----------------------------------------------------------------------------------------

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])
WEB_THREADS = env.int("WEB_THREADS", 8)
if WEB_THREADS < 2:
    raise ImproperlyConfigured("WEB_THREADS is at least 2: half of the threads may wait for the cloud.")

_trusted: list[str] = env.list("TRUSTED_PROXIES", [])
try:
    TRUSTED_PROXIES = [ipaddress.ip_network(text) for text in _trusted if text != "unix"]
except ValueError as error:
    raise ImproperlyConfigured(f"TRUSTED_PROXIES: {error}. It lists addresses or networks, or unix.") from None
TRUST_UNIX_PEERS = "unix" in _trusted

HTTPS = env.bool("HTTPS", True)
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", 31_536_000) if HTTPS else 0
# One portal does not decide for a whole domain, and a preload list is not left for months.
SECURE_HSTS_INCLUDE_SUBDOMAINS = False
SECURE_HSTS_PRELOAD = False
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# Safe because ClientAddressMiddleware drops the header unless it comes from a trusted proxy.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "sallyport-session"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "sallyport-csrf"
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_AGE = env.int("SESSION_HOURS", 12) * 3600
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
# `same-origin`, not `no-referrer`: with the latter browsers send `Origin: null` with our own forms.
SECURE_REFERRER_POLICY = "same-origin"
# The O&M page, opened from ours, gets no handle on it.
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
CSRF_FAILURE_VIEW = "portal.views.csrf_failure"
# In the session, which ends with the sign-out. Django's own choice is a cookie, and the next person at the same
# browser would be told what was meant for the one before.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
DEFAULT_EXCEPTION_REPORTER_FILTER = "portal.reports.ReportFilter"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    },
}

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "portal",
    "accounts",
    "omaccess",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "csp",
    "django_htmx",
]

MIDDLEWARE = [
    "portal.middleware.RequestContextMiddleware",
    "portal.middleware.ClientAddressMiddleware",
    "portal.middleware.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "portal.middleware.CompressionMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "portal.middleware.PreferencesMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "portal.middleware.SignInMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context_processors.site",
            ],
        },
    },
]

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", str(DATA_DIR / "static")))
STATICFILES_DIRS = [*([BRAND_DIR] if BRAND_DIR else []), BASE_DIR / "static"]
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": env.str("STATICFILES_BACKEND", "whitenoise.storage.CompressedManifestStaticFilesStorage")
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000

# --- data ----------------------------------------------------------------------------------------

DATABASE_URL = env.str("DATABASE_URL", f"sqlite:///{DATA_DIR / 'sallyport.sqlite3'}")
# Migrations run as the owner of the tables; the running role may not change the audit.
_migrate_url = env.str("MIGRATE_DATABASE_URL", "")
USE_MIGRATE_ROLE = env.bool("USE_MIGRATE_ROLE", False)
DATABASES = {
    "default": env.dj_db_url("MIGRATE_DATABASE_URL")
    if USE_MIGRATE_ROLE and _migrate_url
    else env.dj_db_url("DATABASE_URL", DATABASE_URL)
}
_database: dict[str, Any] = DATABASES["default"]
_database.setdefault("OPTIONS", {})
_database["ATOMIC_REQUESTS"] = False
IS_SQLITE = _database["ENGINE"] == "django.db.backends.sqlite3"
if IS_SQLITE:
    _database["OPTIONS"] |= {
        "transaction_mode": "IMMEDIATE",
        # How long a writer waits for another. Longer counts as "cannot be recorded".
        "timeout": 2,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;",
    }
    if not DEBUG:
        Path(_database["NAME"]).parent.mkdir(parents=True, exist_ok=True)
else:
    # A lock not had in 2 s counts as "cannot be recorded". A statement that takes longer than any of ours, or a
    # server that has gone silent, must not hold a request's thread: migrations alone may take their time.
    _statement_seconds = 0 if USE_MIGRATE_ROLE else env.int("DATABASE_STATEMENT_SECONDS", 15)
    _database["OPTIONS"] |= {
        # Without jit: the planner overrates nested EXISTS, and compiling takes a second where running takes
        # milliseconds.
        "options": f"-c lock_timeout=2s -c statement_timeout={_statement_seconds}s -c jit=off",
        "connect_timeout": 3,
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 5000,
    }
    _database["CONN_MAX_AGE"] = env.int("DATABASE_KEEP_SECONDS", 60)
    _database["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHE_URL = env.str("CACHE_URL", "")
check_address("CACHE_URL", CACHE_URL)
# The default cache counts failed sign-ins: it guards, so it is rows in either mode. Tokens may vanish at any time.
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "portal_cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    },
    "tokens": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": CACHE_URL,
        "OPTIONS": {
            "socket_connect_timeout": 1,
            "socket_timeout": 1,
            "serializer": "portal.caches.TextSerializer",
        },
        # Earlier releases kept pickles under version 1; while both run, neither may read the other's.
        "VERSION": 2,
    }
    if CACHE_URL
    else {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "portal_cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    },
}
CACHES["tokens"]["KEY_PREFIX"] = env.str("CACHE_KEY_PREFIX", "sallyport")

# --- mail ----------------------------------------------------------------------------------------

# Alarms for operators. Without an address nothing is sent: the log and the metrics say it all the same.
EMAIL_URL = env.str("EMAIL_URL", "")
check_address("EMAIL_URL", EMAIL_URL)
_mail: dict[str, Any] = env.dj_email_url("EMAIL_URL", EMAIL_URL) if EMAIL_URL else {}
EMAIL_BACKEND = _mail.get("EMAIL_BACKEND", "django.core.mail.backends.dummy.EmailBackend")
EMAIL_HOST = _mail.get("EMAIL_HOST") or "localhost"
EMAIL_PORT = _mail.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = _mail.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = _mail.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = _mail.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _mail.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10
MAIL_FROM = env.str("MAIL_FROM", "sallyport@localhost")
DEFAULT_FROM_EMAIL = SERVER_EMAIL = MAIL_FROM
ALARM_MAIL_TO: list[str] = env.list("ALARM_MAIL_TO", [])

# --- people --------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = reverse_lazy("account_login")
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_REDIRECT_URL = reverse_lazy("account_login")

# --- the cloud -----------------------------------------------------------------------------------

CLOUD_ENDPOINTS = env.list(
    "CLOUD_ENDPOINTS",
    ["https://*.myhuaweicloud.com", "https://*.myhuaweicloud.eu"],
)
REQUIRE_AUDIT_ROLE = env.bool("REQUIRE_AUDIT_ROLE", True)
CLOUD_PROXY = env.str("CLOUD_PROXY", "")
CLOUD_CA_BUNDLE = env.str("CLOUD_CA_BUNDLE", "")
ATTEMPT_SECONDS = env.float("ATTEMPT_SECONDS", 10.0)
if not 1 <= ATTEMPT_SECONDS <= 60:
    raise ImproperlyConfigured("ATTEMPT_SECONDS is between 1 and 60.")
LAUNCHES_PER_MINUTE = env.int("LAUNCHES_PER_MINUTE", 30)
WAITING_ATTEMPTS = env.int("WAITING_ATTEMPTS", 10)
if LAUNCHES_PER_MINUTE < 1 or WAITING_ATTEMPTS < 1:
    raise ImproperlyConfigured("LAUNCHES_PER_MINUTE and WAITING_ATTEMPTS are at least 1.")

# --- records -------------------------------------------------------------------------------------

# The working records behind the screens; the audit keeps every event for ever.
KEEP_LAUNCHES_DAYS = env.int("KEEP_LAUNCHES_DAYS", 400)
if KEEP_LAUNCHES_DAYS != 0 and KEEP_LAUNCHES_DAYS < 31:
    raise ImproperlyConfigured("KEEP_LAUNCHES_DAYS is 0, for ever, or at least 31.")
AUDIT_HEAD_FILE = env.str("AUDIT_HEAD_FILE", "")

# --- observation ---------------------------------------------------------------------------------

METRICS_TOKEN = env.str("METRICS_TOKEN", "")
if METRICS_TOKEN and len(METRICS_TOKEN) < 16:
    raise ImproperlyConfigured("METRICS_TOKEN has at least 16 characters.")
METRICS_DIR = Path(env.str("METRICS_DIR", str(DATA_DIR / "metrics")))
# The names are OpenTelemetry's own.
TRACING_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", "")
check_address("OTEL_EXPORTER_OTLP_ENDPOINT", TRACING_ENDPOINT)
TRACING_HEADERS = env.str("OTEL_EXPORTER_OTLP_HEADERS", "")
COMMIT = env.str("COMMIT", "")

# --- background work -----------------------------------------------------------------------------

BROKER_URL = env.str("BROKER_URL", "filesystem://localhost")
check_address("BROKER_URL", BROKER_URL)
CELERY_BROKER_URL = BROKER_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_ACKS_LATE = False
if BROKER_URL.startswith("filesystem"):
    _spool = DATA_DIR / "celery"
    for _folder in ("queue", "control"):
        (_spool / _folder).mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_spool / "queue"),
        "data_folder_out": str(_spool / "queue"),
        "control_folder": str(_spool / "control"),
    }
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": env.str("BROKER_KEY_PREFIX", "sallyport:")}
CELERY_BEAT_SCHEDULE = {
    "close-abandoned-launches": {
        "task": "omaccess.tasks.close_abandoned_launches",
        "schedule": dt.timedelta(seconds=30),
        "options": {"expires": 30},
    },
    "refresh-tokens": {
        "task": "omaccess.tasks.refresh_tokens",
        "schedule": dt.timedelta(minutes=5),
        "options": {"expires": 300},
    },
    "log-audit-head": {
        "task": "omaccess.tasks.log_audit_head",
        "schedule": crontab(minute="0"),
        "options": {"expires": 3600},
    },
    "verify-audit": {
        "task": "omaccess.tasks.verify_audit",
        "schedule": crontab(minute="15", hour="2"),
        "options": {"expires": 3600},
    },
    "clear-expired-sessions": {
        "task": "omaccess.tasks.clear_expired_sessions",
        "schedule": crontab(minute="30", hour="3"),
        "options": {"expires": 3600},
    },
    "clear-old-launches": {
        "task": "omaccess.tasks.clear_old_launches",
        "schedule": crontab(minute="40", hour="3"),
        "options": {"expires": 3600},
    },
    "clear-old-worklists": {
        "task": "omaccess.tasks.clear_old_worklists",
        "schedule": crontab(minute="45", hour="3"),
        "options": {"expires": 3600},
    },
    "refresh-search-texts": {
        "task": "omaccess.tasks.refresh_search_texts",
        "schedule": crontab(minute="50", hour="3"),
        "options": {"expires": 3600},
    },
}

# --- words and times -----------------------------------------------------------------------------

# Each in its own words, so that everybody recognises theirs.
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LANGUAGE_CODE = env.str("LANGUAGE", "en")
if LANGUAGE_CODE not in dict(LANGUAGES):
    raise ImproperlyConfigured(f"LANGUAGE is {LANGUAGE_CODE!r}; it is {' or '.join(dict(LANGUAGES))}.")
LOCALE_PATHS = [BASE_DIR / "portal" / "locale"]
FORMAT_MODULE_PATH = ["portal.formats"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = env.str("TIME_ZONE", "UTC")
if TIME_ZONE not in zoneinfo.available_timezones():
    raise ImproperlyConfigured(f"TIME_ZONE is {TIME_ZONE!r}, which is no time zone; Europe/Berlin is one.")

# --- logs ----------------------------------------------------------------------------------------

LOG_LEVEL = env.str("LOG_LEVEL", "INFO").upper()
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
    raise ImproperlyConfigured(f"LOG_LEVEL is {LOG_LEVEL!r}; it is DEBUG, INFO, WARNING, ERROR or CRITICAL.")
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"structured": formatter(env.str("LOG_FORMAT", "json"))},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.server": {"handlers": ["stderr"], "propagate": False},
        # Any stranger may send a wrong Host header: no error of ours. The line `request` says the answer was 400.
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        # urllib3 logs whole request lines at DEBUG; they carry no secret, yet nobody needs them.
        "urllib3": {"level": "INFO"},
    },
}

# --- admin ---------------------------------------------------------------------------------------

UNFOLD = {
    "SITE_TITLE": SITE_NAME,
    "SITE_HEADER": SITE_NAME,
    "SITE_URL": "/",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "omaccess.admin.site.environment_badge",
    "SITE_SYMBOL": "shield_lock",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": "omaccess.admin.site.favicon"},
    ],
    "SIDEBAR": {"navigation": "omaccess.admin.navigation.sidebar"},
    "BORDER_RADIUS": "6px",
    # The teal of the staff pages, in the steps that unfold mixes its buttons and links from.
    "COLORS": {
        "primary": {
            "50": "#f0f9f8",
            "100": "#d9f0ee",
            "200": "#b4e0dd",
            "300": "#84cac6",
            "400": "#4fadaa",
            "500": "#2f9390",
            "600": "#0b6b6b",
            "700": "#085454",
            "800": "#074646",
            "900": "#063939",
            "950": "#032424",
        },
    },
}
