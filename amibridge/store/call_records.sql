-- calls_of_time --
-- A page of an enterprise's calls, the newest first: begun since $2, and before ($3, $4) in the order of the page.
SELECT calls.*
  FROM calls
 WHERE enterprise_id = $1 AND started_at >= $2 AND started_at <= $3 AND (started_at, call_id COLLATE "C") < ($3, $4)
 ORDER BY started_at DESC, call_id COLLATE "C" DESC
 LIMIT $5

-- calls_of_verdict --
-- The same of any of the directions $6 and the outcomes $7: a few from each of their heaps, and the newest of those.
SELECT page.*
  FROM unnest($6::text[]) AS wanted (direction), unnest($7::text[]) AS ended (outcome), LATERAL (
       SELECT calls.*
         FROM calls
        WHERE calls.enterprise_id = $1 AND calls.direction = wanted.direction AND calls.outcome = ended.outcome
          AND calls.started_at >= $2 AND calls.started_at <= $3
          AND (calls.started_at, calls.call_id COLLATE "C") < ($3, $4)
        ORDER BY calls.started_at DESC, calls.call_id COLLATE "C" DESC
        LIMIT $5) AS page
 ORDER BY page.started_at DESC, page.call_id COLLATE "C" DESC
 LIMIT $5

-- calls_of_phone --
-- The same with one customer's number, and with one extension ($9) if one is named.
SELECT calls.*
  FROM calls
 WHERE enterprise_id = $1 AND phone = $8 AND started_at >= $2 AND started_at <= $3
   AND (started_at, call_id COLLATE "C") < ($3, $4) AND direction = ANY ($6::text[]) AND outcome = ANY ($7::text[])
   AND ($9::text IS NULL OR caller = $9 OR $9 = ANY (rang) OR $9 = ANY (operators))
 ORDER BY started_at DESC, call_id COLLATE "C" DESC
 LIMIT $5

-- calls_of_extension --
-- The same of one extension that called, rang or talked.
SELECT calls.*
  FROM call_extensions AS part
  JOIN calls ON calls.enterprise_id = part.enterprise_id AND calls.call_id = part.call_id
 WHERE part.enterprise_id = $1 AND part.extension = $8 AND part.started_at >= $2 AND part.started_at <= $3
   AND (part.started_at, part.call_id COLLATE "C") < ($3, $4)
   AND calls.direction = ANY ($6::text[]) AND calls.outcome = ANY ($7::text[])
 ORDER BY part.started_at DESC, part.call_id COLLATE "C" DESC
 LIMIT $5

-- call_record --
-- One call that is over.
SELECT calls.* FROM calls WHERE enterprise_id = $1 AND call_id = $2

-- call_is_over --
-- Whether there is such a call that is over.
SELECT FROM calls WHERE enterprise_id = $1 AND call_id = $2

-- deliveries_of_call --
-- What the CRM was told of a call, or is still to be told, in order.
SELECT enterprise_id, id, host, call_id, fact_key, kind::text, webhook, status::text, attempts, due_at, fresh_until,
       last_answer, created_at, settled_at
  FROM deliveries
 WHERE enterprise_id = $1 AND call_id = $2
 ORDER BY id
 LIMIT $3

-- told --
-- Pages of calls, put before this as `calls`, each with its place in the order and as the object that
-- docs/call-record.md publishes: it costs our loop a fifth of what making it of rows does.
SELECT started_at, call_id,
       json_build_object(
           'call_id', call_id, 'direction', direction, 'outcome', outcome, 'reason', reason,
           'external_number', external_number, 'phone', phone, 'caller_name', caller_name, 'line', line,
           'queue', queue, 'rang', rang, 'operators', operators, 'caller', caller,
           'started_at', to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
           'rang_at', to_char(rang_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
           'answered_at', to_char(answered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
           'ended_at', to_char(ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
           'waited_seconds', extract(epoch FROM waited)::float8, 'talk_seconds', extract(epoch FROM talked)::float8,
           'hangup_by', hangup_by, 'transfers', transfers, 'recordings', recordings,
           'click_to_call', click_to_call, 'complete', complete, 'notes', notes)::text AS record
  FROM calls
 WHERE enterprise_id = $1

-- attempts_told --
-- Each time a phone was tried for a call, in order, as it is published.
SELECT coalesce(json_agg(json_build_object(
           'extension', extension, 'outcome', outcome,
           'rang_at', to_char(rang_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
           'joined_at', to_char(joined_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
           'left_at', to_char(left_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')) ORDER BY ordinal), '[]')::text
  FROM attempts
 WHERE enterprise_id = $1 AND call_id = $2

-- deliveries_told --
-- What was told of a call, or is still to be told, in order, as it is published.
SELECT coalesce(json_agg(json_build_object(
           'id', id, 'call_id', call_id, 'kind', kind, 'webhook', nullif(webhook, ''), 'fact', fact_key,
           'status', status, 'attempts', attempts, 'answer', last_answer,
           'due_at', to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
           'fresh_until', to_char(fresh_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
           'created_at', to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
           'settled_at', to_char(settled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')) ORDER BY id), '[]')::text
  FROM (SELECT * FROM deliveries WHERE enterprise_id = $1 AND call_id = $2 ORDER BY id LIMIT $3) AS d
