"""The Django project: settings, entry points and what belongs to no single app."""

__version__ = "0.1.0"

from comfysaas.celery import app as celery_app

__all__ = ["celery_app"]
