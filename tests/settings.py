"""The variables of a test run, then the one settings file."""

import os
import tempfile

_DATA = tempfile.mkdtemp(prefix="sallyport-test-")

os.environ.setdefault("SECRET_KEY", "tests-only-secret-key-that-is-long-enough-to-pass-the-deploy-check-0123456789")
os.environ.setdefault("VAULT_KEYS", "t1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
os.environ.setdefault("DATA_DIR", _DATA)
os.environ.setdefault("DATABASE_URL", f"sqlite:///{_DATA}/tests.sqlite3")
os.environ.setdefault("CLOUD", "sandbox")
os.environ.setdefault("ALLOW_SANDBOX", "1")
os.environ.setdefault("HTTPS", "false")
os.environ.setdefault("ALLOWED_HOSTS", "localhost,127.0.0.1,testserver")
os.environ.setdefault("STATICFILES_BACKEND", "django.contrib.staticfiles.storage.StaticFilesStorage")
os.environ.setdefault("LOG_FORMAT", "console")
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright's sync API runs an event loop

from portal.settings import *  # noqa: E402, F403

STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # noqa: F405 - whitenoise wants it to be there

# Hashing a password slowly is for attackers; hundreds of tests sign somebody in.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
