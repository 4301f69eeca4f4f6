"""A small Django project; where its database is stands in the environment."""

import os

SECRET_KEY = "for the tests alone"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.mysql",
        "HOST": os.environ["PANDO_HOST"],
        "PORT": os.environ["PANDO_PORT"],
        "NAME": os.environ["PANDO_DATABASE"],
        "USER": "root",
        "OPTIONS": {"charset": "utf8mb4"},
    }
}
