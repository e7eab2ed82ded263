from django.apps import AppConfig


class DemoConfig(AppConfig):
    name = "sandbox.demo"
    label = "demo"

    def ready(self) -> None:
        # Tasks are sent through the sandbox's Celery app, wherever Django runs.
        from sandbox import celery  # noqa: F401
