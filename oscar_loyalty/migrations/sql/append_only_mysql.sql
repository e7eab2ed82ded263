CREATE TRIGGER {trigger} BEFORE {event} ON {table} FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET
        -- A failed constraint: Django raises IntegrityError, as it does on the other engines.
        MYSQL_ERRNO = 4025,
        MESSAGE_TEXT = '{event} refused: the points ledger is append-only, book a reversal instead'
