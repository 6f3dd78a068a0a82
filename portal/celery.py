"""The Celery application. Work lives in rows; a message only wakes a worker."""

import os
from typing import Any

import structlog
from celery import Celery
from celery.signals import setup_logging, task_postrun, task_prerun

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("sallyport")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_django_logging(**_kwargs: object) -> None:
    """Being connected is the whole point: Celery then leaves logging as the settings configured it."""


@task_prerun.connect
def name_task_in_log(*, task_id: str, task: Any, **_signal: Any) -> None:
    structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)


@task_postrun.connect
def forget_task_in_log(**_signal: Any) -> None:
    structlog.contextvars.unbind_contextvars("task", "task_id")
