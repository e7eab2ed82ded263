"""Each lane has the engine or the equipment that its name promises."""

import os
import queue
import uuid

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from django.db import connection


@pytest.mark.database
@pytest.mark.django_db
def test_the_suite_runs_on_the_engine_that_database_url_names():
    scheme = os.environ.get("DATABASE_URL", "sqlite://").partition("://")[0]
    engine = {"postgres": "postgresql", "postgresql": "postgresql", "mysql": "mysql", "sqlite": "sqlite"}[
        scheme
    ]
    assert connection.vendor == engine


@pytest.mark.broker
def test_a_message_sent_through_the_broker_reaches_a_worker(broker_url):
    arrived: queue.Queue[str] = queue.Queue()
    name = f"loyalty-test-{uuid.uuid4().hex}"
    app = Celery("lane", broker=broker_url, set_as_current=False)
    app.conf.update(task_default_queue=name, task_ignore_result=True, worker_enable_remote_control=False)

    @app.task(name=name)
    def arrive(*, order_number: str) -> None:
        arrived.put(order_number)

    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        arrive.delay(order_number="100042")
        assert arrived.get(timeout=60) == "100042"
    with app.connection_or_acquire() as broker:
        broker.default_channel.queue_delete(name)


@pytest.mark.browser
@pytest.mark.django_db
def test_chromium_shows_a_page_of_the_shop(chromium, live_server):
    page = chromium.new_page()
    page.goto(f"{live_server.url}/catalogue/")
    assert page.locator("h1").first.inner_text()
    page.close()
