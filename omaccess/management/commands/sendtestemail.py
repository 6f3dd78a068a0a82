"""Django's command, but it says when nothing is sent."""

from __future__ import annotations

import smtplib
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import sendtestemail
from django.utils.translation import gettext as _


class Command(sendtestemail.Command):
    """Without a mail server Django's own throws the mail away and is content."""

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.EMAIL_URL:
            raise CommandError(_("EMAIL_URL is empty: no mail is sent."))
        try:
            super().handle(*args, **options)
        except (OSError, smtplib.SMTPException) as error:
            text = _("The mail was not sent ({kind}). To see what is wrong: manage.py doctor")
            raise CommandError(text.format(kind=type(error).__name__)) from None
        self.stdout.write(_("Sent to {addresses}.").format(addresses=", ".join(options["email"])))
