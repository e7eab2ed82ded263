"""Make and drop databases by their DATABASE_URL: ``python -m sandbox.tools.databases create|drop URL…``."""

import sys
from urllib.parse import unquote, urlsplit


def create(url: str) -> None:
    """Make the database that ``url`` names, unless it is there."""
    _execute(url, 'CREATE DATABASE "{name}"', "CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")


def drop(url: str) -> None:
    """Drop the database that ``url`` names, if it is there."""
    _execute(url, 'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', "DROP DATABASE IF EXISTS `{name}`")


def _execute(url: str, postgres: str, mariadb: str) -> None:
    parts = urlsplit(url)
    name = parts.path.lstrip("/")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme.startswith("postgres"):
        import psycopg

        login = {"host": parts.hostname, "port": parts.port, "user": user, "password": password}
        # CREATE DATABASE cannot run in a transaction.
        with psycopg.connect(dbname="postgres", autocommit=True, **login) as connection:
            there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if not (there and postgres.startswith("CREATE")):
                connection.execute(postgres.format(name=name))
    elif parts.scheme == "mysql":
        import MySQLdb

        connection = MySQLdb.connect(
            host=parts.hostname, port=parts.port or 3306, user=user, password=password
        )
        connection.cursor().execute(mariadb.format(name=name))
        connection.close()
    else:
        raise SystemExit(f"{url} is neither a postgres:// nor a mysql:// address")


if __name__ == "__main__":
    action = {"create": create, "drop": drop}[sys.argv[1]]
    for address in sys.argv[2:]:
        action(address)
