-- The next accounts in which something becomes spendable or expires, settled in two statements each batch.
--
-- Books what Book.settle in oscar_loyalty/points/book.py would book, row for row: what is due is made
-- spendable by moment and lot, then what is over expires by moment and lot. Accounts with a deficit (it
-- would be repaid) or with reserved points (which do not expire) are left to the portable path, which gets
-- their ids. Accounts that somebody else has locked are passed over: whoever has them settles them.
--
-- The accounts are locked in a statement of their own. A statement sees the rows that were committed when it
-- began, except for those that it locks: of these it takes the latest. One that locks accounts and reads
-- their lots would see new accounts with old lots, where somebody booked in between.
--
-- A batch is small and the tables are not, which a planner that does not know the size of the batch gets
-- wrong: it would read all lots for each batch. So rows are asked for by what an index finds, one account
-- (LATERAL … OFFSET 0) or one list of ids at a time, each batch is planned anew, and no plan is compiled.
--
-- Names end in a number. A change that makes another result gets a new number, so that processes of two
-- releases can work side by side.

-- One link of a chain that begins at head_hash: the state is the hash so far, empty before the first.
CREATE OR REPLACE FUNCTION oscar_loyalty_link_1(
    state text, head_hash text, account uuid, seq bigint, kind text, key_digest text, fingerprint text,
    points bigint, available_after bigint, effective_at timestamptz, created_at timestamptz,
    order_ref text, moves text
) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    -- Not in SQL, which would start an executor for each link.
    RETURN oscar_loyalty_hash_1(
        CASE WHEN state = '' THEN head_hash ELSE state END, account, seq, kind, key_digest, fingerprint,
        points, available_after, effective_at, created_at, 'system', order_ref, '',
        oscar_loyalty_digest_1('{}'), '', moves
    );
END
$$;

DROP AGGREGATE IF EXISTS oscar_loyalty_chain_1(
    text, uuid, bigint, text, text, text, bigint, bigint, timestamptz, timestamptz, text, text
);
CREATE AGGREGATE oscar_loyalty_chain_1(
    head_hash text, account uuid, seq bigint, kind text, key_digest text, fingerprint text, points bigint,
    available_after bigint, effective_at timestamptz, created_at timestamptz, order_ref text, moves text
) (sfunc = oscar_loyalty_link_1, stype = text, initcond = '');

-- Accounts after (p_due_at, p_id) in order of due_at and id, at most p_limit of them. o_due_at and o_id
-- name the last one, for the next call; they are null when there was none.
CREATE OR REPLACE FUNCTION oscar_loyalty_settle_1(
    p_now timestamptz, p_due_at timestamptz, p_id bigint, p_limit integer,
    OUT o_settled bigint, OUT o_activated bigint, OUT o_expired bigint, OUT o_left bigint[],
    OUT o_due_at timestamptz, OUT o_id bigint
) LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    account_ids bigint[];
BEGIN
SELECT array_agg(due.id) INTO account_ids FROM (
    SELECT a.id
    FROM oscar_loyalty_account a
    WHERE a.due_at <= p_now AND (a.due_at, a.id) > (p_due_at, p_id)
    ORDER BY a.due_at, a.id
    LIMIT p_limit
    FOR NO KEY UPDATE SKIP LOCKED
) due;

WITH locked AS MATERIALIZED (
    SELECT a.id, a.public_id, a.member_id, a.available, a.seq, a.head_hash, a.due_at,
        a.debt = 0 AND a.held = 0 AS plain
    FROM oscar_loyalty_account a
    WHERE a.id = ANY (account_ids)
), lots AS MATERIALIZED (
    SELECT l.id, l.account_id, l.public_id, l.pending, l.remaining, l.active_at, l.expires_at,
        CASE WHEN l.source_ref LIKE 'order:%' THEN substr(l.source_ref, 7) ELSE '' END AS order_ref,
        l.pending > 0 AND l.active_at <= p_now AS activates,
        l.expires_at <= p_now
            AND (l.remaining > 0 OR l.pending > 0 AND l.active_at <= p_now) AS expires
    FROM locked a
    CROSS JOIN LATERAL (
        SELECT o.* FROM oscar_loyalty_lot o WHERE o.account_id = a.id AND o.open OFFSET 0
    ) l
    WHERE a.plain
), events AS (
    SELECT account_id, id AS lot_id, public_id AS lot, 1 AS phase, 'ACTIVATE' AS kind, active_at AS moment,
        pending AS points, pending AS change, order_ref
    FROM lots WHERE activates
    UNION ALL
    SELECT account_id, id, public_id, 2, 'EXPIRE', expires_at,
        remaining + CASE WHEN activates THEN pending ELSE 0 END,
        -(remaining + CASE WHEN activates THEN pending ELSE 0 END), order_ref
    FROM lots WHERE expires
), numbered AS (
    SELECT e.*, a.public_id AS account, a.member_id, a.head_hash, a.seq + row_number() OVER steps AS seq,
        a.available + sum(e.change) OVER steps AS available_after
    FROM events e JOIN locked a ON a.id = e.account_id
    WINDOW steps AS (
        PARTITION BY e.account_id ORDER BY e.phase, e.moment, e.lot_id ROWS UNBOUNDED PRECEDING
    )
), told AS (
    SELECT n.*,
        CASE n.phase
            WHEN 1 THEN 'activate:' || n.lot::text
            ELSE 'expire:' || n.lot::text || ':' || n.seq::text
        END AS key,
        oscar_loyalty_digest_1('["' || n.kind || '",' || n.points::text || ']') AS fingerprint,
        CASE n.phase WHEN 1 THEN 'PND' ELSE 'AVL' END AS debit,
        CASE n.phase WHEN 1 THEN 'AVL' ELSE 'BRK' END AS credit
    FROM numbered n
), digested AS MATERIALIZED (
    SELECT t.*, oscar_loyalty_digest_1('"' || t.key || '"') AS key_digest FROM told t
), chained AS (
    SELECT t.*,
        oscar_loyalty_chain_1(
            t.head_hash, t.account, t.seq, t.kind, t.key_digest, t.fingerprint, t.points,
            t.available_after::bigint, t.moment, p_now, t.order_ref,
            t.debit || '>' || t.credit || ':' || t.points::text || ':' || t.lot::text
        ) OVER (PARTITION BY t.account_id ORDER BY t.seq ROWS UNBOUNDED PRECEDING) AS hash
    FROM digested t
), entries AS MATERIALIZED (
    SELECT c.*, gen_random_uuid() AS entry,
        lag(c.hash, 1, c.head_hash) OVER (PARTITION BY c.account_id ORDER BY c.seq) AS prev_hash
    FROM chained c
), sums AS (
    SELECT account_id, count(*) AS steps,
        coalesce(sum(points) FILTER (WHERE phase = 1), 0) AS activated,
        coalesce(sum(points) FILTER (WHERE phase = 2), 0) AS expired,
        (array_agg(hash ORDER BY seq DESC))[1] AS hash
    FROM entries GROUP BY account_id
), due AS (
    SELECT account_id, least(
        min(active_at) FILTER (WHERE pending > 0 AND active_at > p_now),
        min(expires_at) FILTER (WHERE expires_at > p_now AND (remaining > 0 OR activates))
    ) AS due_at
    FROM lots GROUP BY account_id
), changes AS MATERIALIZED (
    SELECT a.id, coalesce(s.activated, 0) AS activated, coalesce(s.expired, 0) AS expired,
        coalesce(s.steps, 0) AS steps, coalesce(s.hash, a.head_hash) AS hash,
        coalesce(d.due_at, '9000-01-01 00:00:00+00') AS due_at
    FROM locked a
    LEFT JOIN sums s ON s.account_id = a.id
    LEFT JOIN due d ON d.account_id = a.id
    WHERE a.plain
), accounts AS (
    UPDATE oscar_loyalty_account a SET
        pending = a.pending - c.activated, available = a.available + c.activated - c.expired,
        expired = a.expired + c.expired, seq = a.seq + c.steps, head_hash = c.hash, due_at = c.due_at
    FROM changes c
    WHERE c.id = a.id AND a.id = ANY (ARRAY(SELECT id FROM changes))
    RETURNING a.id
), touched AS (
    UPDATE oscar_loyalty_lot l SET
        pending = CASE WHEN o.activates THEN 0 ELSE l.pending END,
        remaining = CASE
            WHEN o.expires THEN 0 WHEN o.activates THEN l.remaining + l.pending ELSE l.remaining
        END,
        expired = CASE
            WHEN o.expires THEN l.expired + l.remaining + CASE WHEN o.activates THEN l.pending ELSE 0 END
            ELSE l.expired
        END,
        open = NOT o.expires OR l.pending > 0 AND NOT o.activates
    FROM lots o
    WHERE o.id = l.id AND l.id = ANY (ARRAY(SELECT id FROM lots WHERE activates OR expires))
    RETURNING l.id
), written AS (
    INSERT INTO oscar_loyalty_entry (
        public_id, account_id, group_id, kind, idempotency_key, key_digest, fingerprint, points, seq,
        available_after, effective_at, created_at, actor_ref, order_ref, reason_code, explanation,
        prev_hash, hash
    )
    SELECT entry, account_id, gen_random_uuid(), kind, key, key_digest, fingerprint, points, seq,
        available_after, moment, p_now, 'system', order_ref, '', '{}', prev_hash, hash
    FROM entries ORDER BY account_id, seq
    RETURNING id, public_id
), posted AS (
    INSERT INTO oscar_loyalty_posting (entry_id, lot_id, debit, credit, points)
    SELECT w.id, e.lot_id, e.debit, e.credit, e.points
    FROM written w JOIN entries e ON e.entry = w.public_id ORDER BY w.id
), announced AS (
    INSERT INTO oscar_loyalty_outboxmessage (
        topic, key, payload, created_at, available_at, attempts, waiting, last_error
    )
    SELECT 'points_posted', 'points_posted:' || e.entry::text,
        jsonb_build_object('entry_id', w.id, 'member_id', e.member_id, 'kind', e.kind),
        p_now, p_now, 0, true, ''
    FROM written w JOIN entries e ON e.entry = w.public_id ORDER BY w.id
)
SELECT
    (SELECT count(*) FROM accounts),
    (SELECT count(*) FROM entries WHERE phase = 1),
    (SELECT count(*) FROM entries WHERE phase = 2),
    (SELECT coalesce(array_agg(id ORDER BY due_at, id), '{}') FROM locked WHERE NOT plain),
    last.due_at, last.id
INTO o_settled, o_activated, o_expired, o_left, o_due_at, o_id
FROM (SELECT 1) always
LEFT JOIN (SELECT due_at, id FROM locked ORDER BY due_at DESC, id DESC LIMIT 1) last ON true;
END
$$;
