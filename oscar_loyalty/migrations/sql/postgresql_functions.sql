-- One booking in one statement, for what happens all day: an award, a reservation, its release, its
-- capture. oscar_loyalty/points/fast.py calls these functions and says what they may be asked.
--
-- Each books what the portable path in oscar_loyalty/points/book.py would book, row for row, or it
-- answers 'portable' and has written nothing: when something is due, when there is a deficit, when an
-- answer would be an error, and when anything goes wrong. The portable path then decides and raises.
-- 'locked' says that the account was not to be had within three seconds.
--
-- A connection keeps the plan that it made when a shop was young and tables were small. Every table is
-- read by an index here, so sequential scans are switched off: they would be right for that day only.
--
-- Names end in a number. A change that makes another result gets a new number, so that processes of two
-- releases can work side by side.

-- The same text as chain_hash in oscar_loyalty/points/hashing.py.
CREATE OR REPLACE FUNCTION oscar_loyalty_hash_1(
    prev_hash text, account uuid, seq bigint, kind text, key_digest text, fingerprint text, points bigint,
    available_after bigint, effective_at timestamptz, created_at timestamptz, actor_ref text,
    order_ref text, reason_code text, explanation_digest text, reverses text, moves text
) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT encode(sha256(convert_to(
        prev_hash || E'\n' || account::text || E'\n' || seq::text || E'\n' || kind || E'\n' || key_digest
        || E'\n' || fingerprint || E'\n' || points::text || E'\n' || available_after::text
        || E'\n' || (extract(epoch FROM effective_at) * 1000000)::bigint::text
        || E'\n' || (extract(epoch FROM created_at) * 1000000)::bigint::text
        || E'\n' || char_length(actor_ref)::text || ':' || actor_ref
        || E'\n' || char_length(order_ref)::text || ':' || order_ref
        || E'\n' || char_length(reason_code)::text || ':' || reason_code
        || E'\n' || explanation_digest || E'\n' || reverses || E'\n' || moves,
        'UTF8')), 'hex')
$$;

-- SHA-256 in hex of ASCII text, for digests of canonical JSON that is written out by hand here.
CREATE OR REPLACE FUNCTION oscar_loyalty_digest_1(canonical text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT encode(sha256(convert_to(canonical, 'UTF8')), 'hex')
$$;


CREATE OR REPLACE FUNCTION oscar_loyalty_award_1(
    p_account_id bigint, p_points bigint, p_idempotency_key text, p_key_digest text, p_fingerprint text,
    p_source_ref text, p_active_at timestamptz, p_expires_at timestamptz, p_time_zone text,
    p_expiry_months integer, p_unit_value numeric, p_currency text, p_order_ref text, p_explanation jsonb,
    p_explanation_digest text, p_effective_at timestamptz, p_now timestamptz, p_rule_code text,
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
            SELECT o_entry_id, line.ref, p_rule_code, line.basis, line.points
            FROM unnest(p_line_refs, p_bases, p_line_points) AS line (ref, basis, points);
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


CREATE OR REPLACE FUNCTION oscar_loyalty_hold_1(
    p_account_id bigint, p_ref text, p_requested bigint, p_currency text, p_expires_at timestamptz,
    p_now timestamptz, p_hold_public_id uuid,
    OUT o_outcome text, OUT o_detail text, OUT o_hold_id bigint, OUT o_public_id uuid, OUT o_points bigint,
    OUT o_created_at timestamptz
) LANGUAGE plpgsql SET lock_timeout = '3s' SET enable_seqscan = off AS $$
DECLARE
    account record;
    hold record;
    added bigint;
    key text;
    digest text;
    fingerprint text;
    new_hash text;
    entry_id bigint;
BEGIN
    o_outcome := 'portable';
    SELECT a.public_id, a.status, a.available, a.seq, a.head_hash, a.due_at
        INTO account FROM oscar_loyalty_account a WHERE a.id = p_account_id FOR NO KEY UPDATE;
    IF NOT FOUND OR account.status <> 'OPEN' OR account.due_at <= p_now THEN
        RETURN;
    END IF;
    SELECT h.id, h.public_id, h.account_id, h.points, h.created_at
        INTO hold FROM oscar_loyalty_hold h WHERE h.open_key = p_ref;
    IF FOUND AND hold.account_id <> p_account_id THEN
        RETURN;
    END IF;
    o_hold_id := hold.id;
    o_public_id := coalesce(hold.public_id, p_hold_public_id);
    o_created_at := coalesce(hold.created_at, p_now);
    o_points := least(p_requested, coalesce(hold.points, 0) + account.available);
    added := o_points - coalesce(hold.points, 0);
    IF o_points = 0 OR added < 0 THEN
        -- Nothing to reserve, or points to give back, which may have expired meanwhile.
        RETURN;
    END IF;
    IF added > 0 THEN
        key := 'hold:' || o_public_id::text || ':' || (account.seq + 1)::text;
        digest := oscar_loyalty_digest_1('"' || key || '"');
        fingerprint := oscar_loyalty_digest_1('["HOLD",' || added::text || ']');
        new_hash := oscar_loyalty_hash_1(
            account.head_hash, account.public_id, account.seq + 1, 'HOLD', digest, fingerprint, added,
            account.available - added, p_now, p_now, 'system', '', '', oscar_loyalty_digest_1('{}'), '',
            'AVL>HLD:' || added::text || ':'
        );
        UPDATE oscar_loyalty_account a SET
            available = a.available - added, held = a.held + added, seq = a.seq + 1, head_hash = new_hash
            WHERE a.id = p_account_id;
        INSERT INTO oscar_loyalty_entry (
            public_id, account_id, group_id, kind, idempotency_key, key_digest, fingerprint, points, seq,
            available_after, effective_at, created_at, actor_ref, order_ref, reason_code, explanation,
            prev_hash, hash
        ) VALUES (
            gen_random_uuid(), p_account_id, gen_random_uuid(), 'HOLD', key, digest, fingerprint, added,
            account.seq + 1, account.available - added, p_now, p_now, 'system', '', '', '{}',
            account.head_hash, new_hash
        ) RETURNING id INTO entry_id;
        INSERT INTO oscar_loyalty_posting (entry_id, debit, credit, points)
            VALUES (entry_id, 'AVL', 'HLD', added);
    END IF;
    IF o_hold_id IS NULL THEN
        INSERT INTO oscar_loyalty_hold (
            public_id, account_id, ref, open_key, requested, points, captured, amount, currency, state,
            created_at, expires_at
        ) VALUES (
            o_public_id, p_account_id, p_ref, p_ref, p_requested, o_points, 0, 0, p_currency, 'OPEN',
            p_now, p_expires_at
        ) RETURNING id INTO o_hold_id;
    ELSE
        UPDATE oscar_loyalty_hold h SET
            requested = p_requested, points = o_points, currency = p_currency, expires_at = p_expires_at
            WHERE h.id = o_hold_id;
    END IF;
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


CREATE OR REPLACE FUNCTION oscar_loyalty_capture_1(
    p_ref text, p_points bigint, p_amount numeric, p_amount_text text, p_order_ref text,
    p_idempotency_key text, p_key_digest text, p_fingerprint text, p_now timestamptz,
    p_public_id uuid, p_group_id uuid,
    OUT o_outcome text, OUT o_detail text, OUT o_entry_id bigint, OUT o_account_id bigint,
    OUT o_currency text, OUT o_seq bigint, OUT o_available_after bigint, OUT o_prev_hash text,
    OUT o_hash text
) LANGUAGE plpgsql SET lock_timeout = '3s' SET enable_seqscan = off AS $$
DECLARE
    account record;
    hold record;
    lot record;
    share bigint;
    missing bigint := p_points;
    next_due timestamptz;
    lots bigint[] := '{}';
    shares bigint[] := '{}';
    moves text := '';
BEGIN
    o_outcome := 'portable';
    SELECT h.account_id INTO o_account_id FROM oscar_loyalty_hold h WHERE h.open_key = p_ref;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT a.public_id, a.member_id, a.status, a.available, a.held, a.seq, a.head_hash, a.due_at
        INTO account FROM oscar_loyalty_account a WHERE a.id = o_account_id FOR NO KEY UPDATE;
    IF NOT FOUND OR account.status <> 'OPEN' OR account.due_at <= p_now THEN
        RETURN;
    END IF;
    SELECT h.id, h.points, h.currency INTO hold
        FROM oscar_loyalty_hold h WHERE h.open_key = p_ref AND h.account_id = o_account_id;
    -- A part of the reservation leaves the rest to be looked at, for a deficit and for what expired.
    IF NOT FOUND OR hold.points <> p_points OR hold.currency !~ '^[A-Za-z]{3}$' THEN
        RETURN;
    END IF;
    o_currency := hold.currency;
    next_due := account.due_at;
    -- LIMIT: to have the index read in order, however many lots the account has.
    FOR lot IN
        SELECT l.id, l.public_id, l.pending, l.remaining, l.active_at, l.expires_at
        FROM oscar_loyalty_lot l
        WHERE l.account_id = o_account_id AND l.open AND l.remaining > 0
        ORDER BY l.expires_at, l.id LIMIT 200
    LOOP
        share := least(missing, lot.remaining);
        missing := missing - share;
        lots := lots || lot.id;
        shares := shares || share;
        moves := moves || CASE WHEN moves = '' THEN '' ELSE ';' END
            || 'HLD>RED:' || share::text || ':' || lot.public_id::text;
        IF lot.pending > 0 THEN
            next_due := least(next_due, lot.active_at);
        ELSIF lot.remaining > share AND lot.expires_at > p_now THEN
            next_due := least(next_due, lot.expires_at);
        END IF;
        EXIT WHEN missing = 0;
    END LOOP;
    IF missing > 0 THEN
        RETURN;
    END IF;
    o_seq := account.seq + 1;
    o_available_after := account.available;
    o_prev_hash := account.head_hash;
    o_hash := oscar_loyalty_hash_1(
        o_prev_hash, account.public_id, o_seq, 'SPEND', p_key_digest, p_fingerprint, p_points,
        o_available_after, p_now, p_now, 'system', p_order_ref, '',
        oscar_loyalty_digest_1('{"amount":"' || p_amount_text || '","currency":"' || o_currency || '"}'),
        '', moves
    );
    UPDATE oscar_loyalty_account a SET
        held = a.held - p_points, spent = a.spent + p_points, seq = o_seq, head_hash = o_hash,
        due_at = least(a.due_at, next_due)
        WHERE a.id = o_account_id;
    FOR i IN 1 .. cardinality(lots) LOOP
        UPDATE oscar_loyalty_lot l SET
            remaining = l.remaining - shares[i], spent = l.spent + shares[i],
            open = l.pending + l.remaining > shares[i]
            WHERE l.id = lots[i];
    END LOOP;
    INSERT INTO oscar_loyalty_entry (
        public_id, account_id, group_id, kind, idempotency_key, key_digest, fingerprint, points, seq,
        available_after, effective_at, created_at, actor_ref, order_ref, reason_code, explanation,
        prev_hash, hash
    ) VALUES (
        p_public_id, o_account_id, p_group_id, 'SPEND', p_idempotency_key, p_key_digest, p_fingerprint,
        p_points, o_seq, o_available_after, p_now, p_now, 'system', p_order_ref, '',
        jsonb_build_object('amount', p_amount_text, 'currency', o_currency), o_prev_hash, o_hash
    ) RETURNING id INTO o_entry_id;
    FOR i IN 1 .. cardinality(lots) LOOP
        INSERT INTO oscar_loyalty_posting (entry_id, lot_id, debit, credit, points)
            VALUES (o_entry_id, lots[i], 'HLD', 'RED', shares[i]);
    END LOOP;
    INSERT INTO oscar_loyalty_outboxmessage (
        topic, key, payload, created_at, available_at, attempts, waiting, last_error
    ) VALUES (
        'points_posted', 'points_posted:' || p_public_id::text,
        jsonb_build_object('entry_id', o_entry_id, 'member_id', account.member_id, 'kind', 'SPEND'),
        p_now, p_now, 0, true, ''
    );
    UPDATE oscar_loyalty_hold h SET
        state = 'CAPTURED', open_key = NULL, closed_at = p_now, captured = p_points, amount = p_amount,
        order_ref = p_order_ref
        WHERE h.id = hold.id;
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


CREATE OR REPLACE FUNCTION oscar_loyalty_release_1(
    p_ref text, p_state text, p_now timestamptz,
    OUT o_outcome text, OUT o_detail text, OUT o_points bigint
) LANGUAGE plpgsql SET lock_timeout = '3s' SET enable_seqscan = off AS $$
DECLARE
    holder_id bigint;
    account record;
    hold record;
    key text;
    digest text;
    fingerprint text;
    new_hash text;
    entry_id bigint;
    next_due timestamptz;
BEGIN
    o_outcome := 'portable';
    SELECT h.account_id INTO holder_id FROM oscar_loyalty_hold h WHERE h.open_key = p_ref;
    IF FOUND THEN
        SELECT a.public_id, a.available, a.debt, a.seq, a.head_hash, a.due_at
            INTO account FROM oscar_loyalty_account a WHERE a.id = holder_id FOR NO KEY UPDATE;
        IF NOT FOUND OR account.due_at <= p_now OR account.debt > 0 THEN
            RETURN;
        END IF;
        SELECT h.id, h.public_id, h.points, h.expires_at INTO hold
            FROM oscar_loyalty_hold h
            WHERE h.open_key = p_ref AND h.account_id = holder_id;
        IF NOT FOUND OR (p_state = 'EXPIRED' AND hold.expires_at > p_now) THEN
            RETURN;
        END IF;
        -- What expired while it was reserved goes now.
        PERFORM 1 FROM oscar_loyalty_lot l
            WHERE l.account_id = holder_id AND l.open
            AND l.expires_at <= p_now AND l.remaining > 0
            LIMIT 1;
        IF FOUND THEN
            RETURN;
        END IF;
        o_points := hold.points;
        SELECT least(
            min(l.active_at) FILTER (WHERE l.pending > 0), min(l.expires_at) FILTER (WHERE l.remaining > 0),
            timestamptz '9000-01-01 00:00:00+00'
        ) INTO next_due FROM oscar_loyalty_lot l
            WHERE l.account_id = holder_id AND l.open;
        key := 'release:' || hold.public_id::text || ':' || (account.seq + 1)::text;
        digest := oscar_loyalty_digest_1('"' || key || '"');
        fingerprint := oscar_loyalty_digest_1('["RELEASE",' || o_points::text || ']');
        new_hash := oscar_loyalty_hash_1(
            account.head_hash, account.public_id, account.seq + 1, 'RELEASE', digest, fingerprint, o_points,
            account.available + o_points, p_now, p_now, 'system', '', '', oscar_loyalty_digest_1('{}'), '',
            'HLD>AVL:' || o_points::text || ':'
        );
        UPDATE oscar_loyalty_account a SET
            available = a.available + o_points, held = a.held - o_points, seq = a.seq + 1,
            head_hash = new_hash, due_at = next_due
            WHERE a.id = holder_id;
        INSERT INTO oscar_loyalty_entry (
            public_id, account_id, group_id, kind, idempotency_key, key_digest, fingerprint, points, seq,
            available_after, effective_at, created_at, actor_ref, order_ref, reason_code, explanation,
            prev_hash, hash
        ) VALUES (
            gen_random_uuid(), holder_id, gen_random_uuid(), 'RELEASE', key, digest, fingerprint, o_points,
            account.seq + 1, account.available + o_points, p_now, p_now, 'system', '', '', '{}',
            account.head_hash, new_hash
        ) RETURNING id INTO entry_id;
        INSERT INTO oscar_loyalty_posting (entry_id, debit, credit, points)
            VALUES (entry_id, 'HLD', 'AVL', o_points);
        UPDATE oscar_loyalty_hold h SET state = p_state, open_key = NULL, closed_at = p_now
            WHERE h.id = hold.id;
    ELSE
        o_points := 0;
    END IF;
    IF p_state = 'RELEASED' THEN
        UPDATE oscar_loyalty_hold h SET state = 'RELEASED' WHERE h.ref = p_ref AND h.state = 'EXPIRED';
    END IF;
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
