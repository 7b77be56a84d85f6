-- rejected --
-- Facts that PostgreSQL would not take: of each enterprise_id how many, and why the newest.
SELECT enterprise_id, count(*) AS facts, (array_agg(error ORDER BY rejected_at DESC))[1] AS error
  FROM rejected_facts
 GROUP BY enterprise_id
 ORDER BY enterprise_id

-- long_calls --
-- Live calls of one enterprise of which nothing was heard since long ago, by host.
SELECT host, count(*) AS calls, min(updated_at) AS since
  FROM live_calls
 WHERE enterprise_id = $1 AND updated_at < $2
 GROUP BY host
 ORDER BY host

-- seen_whole --
-- The calls of an enterprise since a time, those not seen from beginning to end, and what is noted of the newest of them.
SELECT count(*) AS calls, count(*) FILTER (WHERE NOT complete) AS incomplete,
       (array_agg(array_to_string(notes, '; ') ORDER BY started_at DESC) FILTER (WHERE NOT complete))[1] AS note
  FROM calls
 WHERE enterprise_id = $1 AND started_at >= $2

-- newest_deliveries --
-- The newest delivery of an enterprise to its CRM, or to one of its webhooks ($2), in each state that says how well it
-- hears us.
SELECT found.*
  FROM unnest(ARRAY['due', 'sent', 'parked']) AS wanted (status),
       LATERAL (SELECT enterprise_id, id, host, call_id, fact_key, kind::text, webhook, status::text, attempts, due_at,
                       fresh_until, last_answer, created_at, settled_at
                  FROM deliveries
                 WHERE enterprise_id = $1 AND status = wanted.status::delivery_status AND webhook = $2
                 ORDER BY id DESC
                 LIMIT 1) AS found

-- answers_to_popups --
-- What the CRM answered when an extension rang or dialled, among the newest deliveries of an enterprise, since a time.
SELECT coalesce(facts.body ->> 'extension', facts.body #>> '{brief,caller}') AS extension, newest.last_answer
  FROM (SELECT enterprise_id, id, host, fact_key, last_answer, settled_at FROM deliveries
         WHERE enterprise_id = $1 AND kind = 'popup' AND status = 'sent' ORDER BY id DESC LIMIT $3) AS newest
  JOIN facts ON facts.enterprise_id = newest.enterprise_id AND facts.host = newest.host AND facts.key = newest.fact_key
            AND facts.kind IN ('operator.rang', 'call.outgoing')
 WHERE newest.settled_at >= $2
 ORDER BY newest.id DESC

-- newest_call --
-- When the newest call of a host ended.
SELECT ended_at
  FROM calls
 WHERE enterprise_id = $1 AND host = $2
 ORDER BY started_at DESC
 LIMIT 1

-- newest_answered --
-- The recordings of the newest answered calls of a host that ended before a time, the newest first.
SELECT recordings, ended_at
  FROM calls
 WHERE enterprise_id = $1 AND host = $2 AND outcome = 'answered' AND ended_at < $3
 ORDER BY started_at DESC
 LIMIT $4

-- riddles --
-- How much of one enterprise's calls was not understood lately, those that were only counted among it; and the newest.
SELECT call_id, text, (count(*) OVER () + sum(passed_over) OVER ())::bigint AS many
  FROM anomalies
 WHERE enterprise_id = $1 AND recorded_at >= $2
 ORDER BY id DESC
 LIMIT 1

-- parked_for --
-- Why deliveries of an enterprise to its CRM, or to one of its webhooks ($3), are parked, of which kind and how many, the most frequent reason first.
SELECT kind::text, last_answer, count(*) AS rows, min(created_at) AS oldest
  FROM deliveries
 WHERE enterprise_id = $1 AND status = 'parked' AND webhook = $3
 GROUP BY kind, last_answer
 ORDER BY rows DESC, oldest
 LIMIT $2

-- oldest_kept --
-- Since when requests and settled deliveries of an enterprise are kept: the first of each in their keys.
SELECT (SELECT at FROM crm_requests WHERE enterprise_id = $1 ORDER BY id LIMIT 1) AS request,
       (SELECT settled_at
          FROM deliveries
         WHERE enterprise_id = $1 AND status IN ('sent', 'dropped')
         ORDER BY id
         LIMIT 1) AS delivery
