-- record_anomalies --
-- Anomalies of any enterprise_id with what was heard of their calls, in the order in which they were met.
INSERT INTO anomalies (enterprise_id, host, call_id, at, text, passed_over, trace)
SELECT enterprise_id, host, call_id, at, text, passed_over, trace
  FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::int[], $7::bytea[])
       WITH ORDINALITY AS a (enterprise_id, host, call_id, at, text, passed_over, trace, ordinal)
 ORDER BY ordinal

-- forget_anomalies --
-- Keep the newest of one host.
DELETE FROM anomalies
 WHERE enterprise_id = $1 AND host = $2
   AND id <= (SELECT id FROM anomalies WHERE enterprise_id = $1 AND host = $2 ORDER BY id DESC OFFSET $3 LIMIT 1)

-- latest_anomalies --
-- The newest first; a NULL filter is no filter.
SELECT enterprise_id, id, host, call_id, at, text, passed_over, trace, recorded_at
  FROM anomalies
 WHERE ($1::text IS NULL OR enterprise_id = $1) AND ($2::text IS NULL OR host = $2)
 ORDER BY recorded_at DESC, enterprise_id, id DESC
 LIMIT $3

-- anomalies_of_call --
-- The newest first; of every enterprise_id unless one is named.
SELECT enterprise_id, id, host, call_id, at, text, passed_over, trace, recorded_at
  FROM anomalies
 WHERE call_id = $1 AND ($2::text IS NULL OR enterprise_id = $2)
 ORDER BY id DESC
