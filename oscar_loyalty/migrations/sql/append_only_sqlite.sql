CREATE TRIGGER {trigger} BEFORE {event} ON {table} FOR EACH ROW
BEGIN
    SELECT RAISE(ABORT, '{event} refused: the points ledger is append-only, book a reversal instead');
END
