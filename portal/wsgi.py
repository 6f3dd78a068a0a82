"""The WSGI entry point for gunicorn. Each web process loads it itself, after it was forked."""

import os

from django.core.wsgi import get_wsgi_application

from portal import tracing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

# First: it adds a middleware, and the application is made with those that are there.
tracing.start("sallyport-web")
application = get_wsgi_application()
