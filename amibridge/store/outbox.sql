-- load_due --
-- What is still to be told to one enterprise's CRM, or to one of its webhooks ($4), oldest first, with its facts: read after
-- a start, not while running.
SELECT deliveries.enterprise_id, deliveries.id, deliveries.host, deliveries.call_id, deliveries.kind::text,
       deliveries.webhook,
       deliveries.attempts, deliveries.due_at, deliveries.fresh_until, deliveries.created_at,
       deliveries.first_tried_at, facts.kind AS fact_kind, facts.body, facts.seq
  FROM deliveries
  JOIN facts ON facts.enterprise_id = deliveries.enterprise_id AND facts.host = deliveries.host
            AND facts.key = deliveries.fact_key
 WHERE deliveries.enterprise_id = $1 AND deliveries.status = 'due' AND deliveries.webhook = $4 AND deliveries.id > $2
 ORDER BY deliveries.id
 LIMIT $3

-- settle --
-- What became of deliveries. A row that is settled for good stays so, whatever a late verdict says.
UPDATE deliveries
   SET status = s.status::delivery_status,
       attempts = s.attempts,
       due_at = coalesce(s.due_at, deliveries.due_at),
       first_tried_at = s.first_tried_at,
       last_answer = s.answer,
       settled_at = CASE WHEN s.status = 'due' THEN NULL ELSE $8::timestamptz END
  FROM unnest($1::text[], $2::bigint[], $3::text[], $4::timestamptz[], $5::int[], $6::text[],
              $7::timestamptz[])
       AS s (enterprise_id, id, status, due_at, attempts, answer, first_tried_at)
 WHERE deliveries.enterprise_id = s.enterprise_id AND deliveries.id = s.id AND deliveries.status = 'due'

-- count_deliveries --
-- How many deliveries to each enterprise's CRM and webhooks are in each state that somebody may have to look at.
SELECT enterprise_id, webhook, status::text, count(*) AS rows, min(created_at) AS oldest
  FROM deliveries
 WHERE status IN ('due', 'parked')
 GROUP BY enterprise_id, status, webhook

-- list_deliveries --
-- The delivery ledger of one enterprise for people, newest first; a NULL filter is no filter.
SELECT enterprise_id, id, host, call_id, fact_key, kind::text, webhook, status::text, attempts, due_at, fresh_until,
       last_answer, created_at, settled_at
  FROM deliveries
 WHERE enterprise_id = $1
   AND ($2::text IS NULL OR status = $2::text::delivery_status)
   AND ($3::text[] IS NULL OR call_id = ANY ($3))
 ORDER BY id DESC
 LIMIT $4

-- calls_of_number --
-- The newest calls of one enterprise, that are over, with a number outside that ends so.
SELECT call_id
  FROM calls
 WHERE enterprise_id = $1
   AND (right(regexp_replace(phone, '\D', '', 'g'), length($2)) = $2
        OR right(regexp_replace(external_number, '\D', '', 'g'), length($2)) = $2)
 ORDER BY started_at DESC
 LIMIT $3

-- resend --
-- Parked or dropped history, errands, or events of webhooks that there still are, to be done once more, because somebody
-- mended the reason.
UPDATE deliveries
   SET status = 'due', due_at = $3, attempts = 0, first_tried_at = NULL, created_at = $3, settled_at = NULL
 WHERE enterprise_id = $1 AND id = ANY ($2::bigint[]) AND kind <> 'popup' AND status IN ('parked', 'dropped')
   AND (webhook = '' OR EXISTS (SELECT FROM webhooks
                                 WHERE webhooks.enterprise_id = $1 AND webhooks.name = deliveries.webhook))
RETURNING enterprise_id, id

-- deliveries_by_id --
-- Some deliveries of one enterprise by their ids, in their order.
SELECT enterprise_id, id, host, call_id, fact_key, kind::text, webhook, status::text, attempts, due_at, fresh_until,
       last_answer, created_at, settled_at
  FROM deliveries
 WHERE enterprise_id = $1 AND id = ANY ($2::bigint[])
 ORDER BY id

-- parked --
-- What of one enterprise was given up and waits for a person. No popup is: it is dropped.
SELECT id
  FROM deliveries
 WHERE enterprise_id = $1 AND status = 'parked' AND kind <> 'popup'
 ORDER BY id

-- given_up_of_call --
-- What of one call was given up and could be sent again.
SELECT id
  FROM deliveries
 WHERE enterprise_id = $1 AND call_id = $2 AND status IN ('parked', 'dropped') AND kind <> 'popup'
 ORDER BY id
