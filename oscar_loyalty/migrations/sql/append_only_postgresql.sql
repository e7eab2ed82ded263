CREATE OR REPLACE FUNCTION oscar_loyalty_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % refused: the points ledger is append-only, book a reversal instead',
        TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER {trigger} BEFORE {event} ON {table}
    FOR EACH ROW EXECUTE FUNCTION oscar_loyalty_refuse_change();
