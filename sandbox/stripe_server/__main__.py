"""``python -m sandbox.stripe_server --port 12111 --state FILE --webhook-url URL --webhook-secret whsec_…``"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading

from . import webhooks
from .control import set_endpoint
from .errors import ApiError
from .server import StripeShapedServer
from .store import Store


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.stripe_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=12111, help="0 takes a free one")
    parser.add_argument("--state", help="SQLite file to keep everything in; without it, memory")
    parser.add_argument("--webhook-url", help="where events are sent")
    parser.add_argument("--webhook-secret", default=os.environ.get("STRIPE_WEBHOOK_SECRET", ""))
    parser.add_argument(
        "--retry-after",
        type=lambda text: tuple(float(part) for part in text.split(",")),
        default=webhooks.BACK_OFF,
        metavar="SECONDS,SECONDS",
        help="pauses between the tries to deliver an event",
    )
    parser.add_argument("--until-stdin-closes", action="store_true", help="end together with the starter")
    parser.add_argument("--verbose", action="store_true", help="log each request")
    given = parser.parse_args(arguments)

    store = Store(given.state)
    try:
        if given.webhook_url:
            set_endpoint(store, given.webhook_url, given.webhook_secret)
        server = StripeShapedServer(
            given.host, given.port, store=store, back_off=given.retry_after, verbose=given.verbose
        )
    except (ApiError, OSError, ValueError) as error:
        store.close()
        print(f"stripe_server: {error}", file=sys.stderr)
        return 2

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if given.until_stdin_closes:
        threading.Thread(target=lambda: (sys.stdin.read(), stop()), daemon=True).start()
    print(f"Stripe-shaped test server on {server.url}", flush=True)
    server.serve_forever(poll_interval=0.05)
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
