-- An award with a rule code for each of its lines: oscar_loyalty_award_1 knows one for all of them, and stays
-- for processes of an older release. What is said at the top of postgresql_functions.sql holds here too.
CREATE OR REPLACE FUNCTION oscar_loyalty_award_2(
    p_account_id bigint, p_points bigint, p_idempotency_key text, p_key_digest text, p_fingerprint text,
    p_source_ref text, p_active_at timestamptz, p_expires_at timestamptz, p_time_zone text,
    p_expiry_months integer, p_unit_value numeric, p_currency text, p_order_ref text, p_explanation jsonb,
    p_explanation_digest text, p_effective_at timestamptz, p_now timestamptz, p_rule_codes text[],
    p_line_refs text[], p_bases numeric[], p_line_points bigint[],
    p_lot_public_id uuid, p_public_id uuid, p_group_id uuid,
    OUT o_outcome text, OUT o_detail text, OUT o_entry_id bigint, OUT o_seq bigint,
    OUT o_available_after bigint, OUT o_prev_hash text, OUT o_hash text
) LANGUAGE plpgsql SET lock_timeout = '3s' SET enable_seqscan = off AS $$
DECLARE
    account record;
    lot_id bigint;
BEGIN
    o_outcome := 'portable';
    SELECT a.public_id, a.programme_id, a.member_id, a.status, a.available, a.seq, a.head_hash, a.due_at
        INTO account FROM oscar_loyalty_account a WHERE a.id = p_account_id FOR NO KEY UPDATE;
    IF NOT FOUND OR account.status <> 'OPEN' OR account.due_at <= p_now THEN
        RETURN;
    END IF;
    IF p_time_zone IS NOT NULL THEN
        -- The caller computed the end of a local day; was it the day of this programme?
        SELECT p.time_zone INTO o_detail FROM oscar_loyalty_programme p WHERE p.id = account.programme_id;
        IF o_detail <> p_time_zone THEN
            o_outcome := 'zone';
            RETURN;
        END IF;
        o_detail := NULL;
    END IF;
    o_seq := account.seq + 1;
    o_available_after := account.available;
    o_prev_hash := account.head_hash;
    o_hash := oscar_loyalty_hash_1(
        o_prev_hash, account.public_id, o_seq, 'EARN', p_key_digest, p_fingerprint, p_points,
        o_available_after, p_effective_at, p_now, 'system', p_order_ref, '', p_explanation_digest, '',
        'EXP>PND:' || p_points::text || ':' || p_lot_public_id::text
    );
    UPDATE oscar_loyalty_account a SET
        pending = a.pending + p_points, earned = a.earned + p_points, seq = o_seq, head_hash = o_hash,
        due_at = least(a.due_at, p_active_at)
        WHERE a.id = p_account_id;
    INSERT INTO oscar_loyalty_lot (
        account_id, public_id, source_ref, amount, pending, remaining, spent, expired, reversed, moved,
        open, created_at, active_at, expires_at, expiry_months, unit_value, currency
    ) VALUES (
        p_account_id, p_lot_public_id, p_source_ref, p_points, p_points, 0, 0, 0, 0, 0,
        true, p_now, p_active_at, p_expires_at, p_expiry_months, p_unit_value, p_currency
    ) RETURNING id INTO lot_id;
    INSERT INTO oscar_loyalty_entry (
        public_id, account_id, group_id, kind, idempotency_key, key_digest, fingerprint, points, seq,
        available_after, effective_at, created_at, actor_ref, order_ref, reason_code, explanation,
        prev_hash, hash
    ) VALUES (
        p_public_id, p_account_id, p_group_id, 'EARN', p_idempotency_key, p_key_digest, p_fingerprint,
        p_points, o_seq, o_available_after, p_effective_at, p_now, 'system', p_order_ref, '', p_explanation,
        o_prev_hash, o_hash
    ) RETURNING id INTO o_entry_id;
    INSERT INTO oscar_loyalty_posting (entry_id, lot_id, debit, credit, points)
        VALUES (o_entry_id, lot_id, 'EXP', 'PND', p_points);
    IF cardinality(p_line_refs) > 0 THEN
        INSERT INTO oscar_loyalty_earnedline (entry_id, line_ref, rule_code, basis, points)
            SELECT o_entry_id, line.ref, line.rule_code, line.basis, line.points
            FROM unnest(p_line_refs, p_rule_codes, p_bases, p_line_points)
                AS line (ref, rule_code, basis, points);
    END IF;
    INSERT INTO oscar_loyalty_outboxmessage (
        topic, key, payload, created_at, available_at, attempts, waiting, last_error
    ) VALUES (
        'points_posted', 'points_posted:' || p_public_id::text,
        jsonb_build_object('entry_id', o_entry_id, 'member_id', account.member_id, 'kind', 'EARN'),
        p_now, p_now, 0, true, ''
    );
    o_outcome := 'booked';
EXCEPTION
    WHEN unique_violation OR deadlock_detected THEN
        o_outcome := 'portable';
    WHEN lock_not_available THEN
        o_outcome := 'locked';
        o_detail := SQLERRM;
    WHEN OTHERS THEN
        o_outcome := 'portable';
        o_detail := SQLSTATE || ' ' || SQLERRM;
END
$$;
