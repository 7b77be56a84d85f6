-- newest_fact --
-- The place of what was said last of an enterprise.
SELECT coalesce(max(seq), 0) AS seq FROM facts WHERE enterprise_id = $1

-- facts_after --
-- What was said of an enterprise behind a place, in order.
SELECT seq, host, call_id, kind, body
  FROM facts
 WHERE enterprise_id = $1 AND seq > $2
 ORDER BY seq
 LIMIT $3

-- facts_of_call_after --
-- The same of one call.
SELECT seq, host, call_id, kind, body
  FROM facts
 WHERE enterprise_id = $1 AND call_id = $4 AND seq > $2
 ORDER BY seq
 LIMIT $3
