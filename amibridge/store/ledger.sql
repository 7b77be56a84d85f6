-- record_facts --
-- All that a batch of facts means, in one statement and so in one transaction: the facts, what lives, what is over,
-- verdicts with their attempts, and what the CRM and the webhooks must hear. Whatever hangs on a fact is written only if it is new.
WITH new AS (
    INSERT INTO facts (enterprise_id, host, key, call_id, kind, at, body)
    SELECT enterprise_id, host, key, call_id, kind, at, body::jsonb
      FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
           WITH ORDINALITY AS f (enterprise_id, host, key, call_id, kind, at, body, ordinal)
     ORDER BY ordinal
        ON CONFLICT (enterprise_id, host, key) DO NOTHING
    RETURNING enterprise_id, host, key, call_id, kind, seq
), lives AS (
    INSERT INTO live_calls (enterprise_id, host, call_id, direction, started_at, updated_at, body)
    SELECT enterprise_id, host, call_id, direction, started_at, updated_at, body::jsonb
      FROM unnest($8::text[], $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::timestamptz[],
                  $14::text[])
           AS l (enterprise_id, host, call_id, direction, started_at, updated_at, body)
     WHERE EXISTS (SELECT FROM new WHERE new.enterprise_id = l.enterprise_id AND new.call_id = l.call_id)
        ON CONFLICT (enterprise_id, call_id)
           DO UPDATE SET updated_at = excluded.updated_at, body = excluded.body
), is_over AS (
    DELETE FROM live_calls
     USING unnest($15::text[], $16::text[]) AS o (enterprise_id, call_id)
     WHERE live_calls.enterprise_id = o.enterprise_id AND live_calls.call_id = o.call_id
), verdicts AS (
    INSERT INTO calls (enterprise_id, call_id, host, direction, outcome, reason, external_number, phone, caller_name,
                       line, queue, rang, operators, caller, started_at, rang_at, answered_at, ended_at, waited,
                       talked, hangup_by, transfers, recordings, click_to_call, complete, notes)
    SELECT r.enterprise_id, r.call_id, r.host, r.direction, r.outcome, r.reason, r.external_number, r.phone,
           r.caller_name, r.line, r.queue, r.rang, r.operators, r.caller, r.started_at, r.rang_at, r.answered_at,
           r.ended_at, make_interval(secs => r.waited_seconds), make_interval(secs => r.talk_seconds), r.hangup_by,
           r.transfers, r.recordings, r.click_to_call, r.complete, r.notes
      FROM jsonb_to_recordset($17::jsonb) AS r (
               enterprise_id text, host text, key text, call_id text, direction text, outcome text, reason text,
               external_number text, phone text, caller_name text, line text, queue text, rang text[],
               operators text[], caller text, started_at timestamptz, rang_at timestamptz, answered_at timestamptz,
               ended_at timestamptz, waited_seconds double precision, talk_seconds double precision, hangup_by text,
               transfers jsonb, recordings text[], click_to_call text, complete boolean, notes text[])
      JOIN new ON new.enterprise_id = r.enterprise_id AND new.host = r.host AND new.key = r.key
        ON CONFLICT (enterprise_id, call_id) DO NOTHING
), parts AS (
    INSERT INTO call_extensions (enterprise_id, call_id, extension, started_at)
    SELECT DISTINCT r.enterprise_id, r.call_id, part.extension, r.started_at
      FROM jsonb_to_recordset($17::jsonb) AS r (
               enterprise_id text, host text, key text, call_id text, rang text[], operators text[], caller text,
               started_at timestamptz)
      JOIN new ON new.enterprise_id = r.enterprise_id AND new.host = r.host AND new.key = r.key,
           unnest(r.rang || r.operators || r.caller) AS part (extension)
     WHERE part.extension IS NOT NULL
        ON CONFLICT (enterprise_id, call_id, extension) DO NOTHING
), tries AS (
    INSERT INTO attempts (enterprise_id, call_id, ordinal, extension, rang_at, joined_at, left_at, outcome)
    SELECT a.enterprise_id, a.call_id, a.ordinal, a.extension, a.rang_at, a.joined_at, a.left_at, a.outcome
      FROM jsonb_to_recordset($18::jsonb) AS a (
               enterprise_id text, host text, key text, call_id text, ordinal int, extension text,
               rang_at timestamptz, joined_at timestamptz, left_at timestamptz, outcome text)
      JOIN new ON new.enterprise_id = a.enterprise_id AND new.host = a.host AND new.key = a.key
        ON CONFLICT (enterprise_id, call_id, ordinal) DO NOTHING
), told AS (
    INSERT INTO deliveries (enterprise_id, host, call_id, fact_key, kind, webhook, fresh_until, due_at, created_at)
    SELECT enterprise_id, host, call_id, key, kind::delivery_kind, webhook, fresh_until, heard_at, heard_at
      FROM (SELECT d.enterprise_id, d.host, d.call_id, d.key, d.kind, '' AS webhook, d.fresh_until, d.heard_at,
                   d.ordinal
              FROM unnest($19::text[], $20::text[], $21::text[], $22::text[], $23::text[], $24::timestamptz[],
                          $25::timestamptz[])
                   WITH ORDINALITY AS d (enterprise_id, host, call_id, key, kind, fresh_until, heard_at, ordinal)
              JOIN new ON new.enterprise_id = d.enterprise_id AND new.host = d.host AND new.key = d.key
             WHERE d.kind <> 'follow_up'
                OR EXISTS (SELECT FROM enterprises
                            WHERE enterprises.enterprise_id = d.enterprise_id AND (create_tasks OR create_orders))
             UNION ALL
            SELECT new.enterprise_id, new.host, new.call_id, new.key, 'webhook', webhooks.name, NULL, $26, new.seq
              FROM webhooks
              JOIN new ON new.enterprise_id = webhooks.enterprise_id
             WHERE webhooks.events IS NULL OR new.kind = ANY (webhooks.events)) AS telling
     ORDER BY webhook, ordinal
    RETURNING enterprise_id, id, host, fact_key, kind, webhook, due_at, fresh_until, created_at
)
SELECT told.enterprise_id, told.id, told.host, told.fact_key, told.kind::text, told.webhook, told.due_at,
       told.fresh_until, told.created_at, new.seq
  FROM told
  JOIN new ON new.enterprise_id = told.enterprise_id AND new.host = told.host AND new.key = told.fact_key
 ORDER BY told.id

-- facts_of_live_calls --
-- What was said of the calls of one host that were live when we last wrote, in the order it was said.
SELECT facts.kind, facts.body, facts.call_id
  FROM live_calls
  JOIN facts ON facts.enterprise_id = live_calls.enterprise_id AND facts.call_id = live_calls.call_id
 WHERE live_calls.enterprise_id = $1 AND live_calls.host = $2
 ORDER BY facts.seq

-- due_of_facts --
-- The deliveries of these facts that are still due: after a commit whose success we may not have heard of.
SELECT deliveries.enterprise_id, deliveries.id, deliveries.host, deliveries.fact_key, deliveries.kind::text,
       deliveries.webhook, deliveries.due_at, deliveries.fresh_until, deliveries.created_at, facts.seq
  FROM deliveries
  JOIN facts ON facts.enterprise_id = deliveries.enterprise_id AND facts.host = deliveries.host
            AND facts.key = deliveries.fact_key
  JOIN unnest($1::text[], $2::text[], $3::text[]) AS f (enterprise_id, host, key)
    ON deliveries.enterprise_id = f.enterprise_id AND deliveries.host = f.host AND deliveries.fact_key = f.key
 WHERE deliveries.status = 'due'
 ORDER BY deliveries.enterprise_id, deliveries.id

-- recorded_before --
-- Which of these facts were written, and when: of a call whose verdict was there already.
SELECT facts.enterprise_id, facts.host, facts.key, facts.recorded_at
  FROM facts
  JOIN unnest($1::text[], $2::text[], $3::text[]) AS f (enterprise_id, host, key)
    ON facts.enterprise_id = f.enterprise_id AND facts.host = f.host AND facts.key = f.key

-- reject_fact --
-- Set a fact aside that PostgreSQL will not take, so that it neither gets lost nor holds up the others.
INSERT INTO rejected_facts (enterprise_id, host, key, kind, body, error)
VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (enterprise_id, host, key) DO NOTHING
