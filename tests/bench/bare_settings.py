"""The portal's settings with the bare view in front."""

from portal.settings import *  # noqa: F403
from portal.settings import MIDDLEWARE as _PORTAL

MIDDLEWARE = ["tests.bench.bare.BareView", *_PORTAL]
