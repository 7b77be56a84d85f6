-- with_deliveries --
-- Each enterprise_id of which there are deliveries, whether it is still served or not: a step through the key for each.
WITH RECURSIVE known AS (
    (SELECT enterprise_id FROM deliveries ORDER BY enterprise_id LIMIT 1)
     UNION ALL
    SELECT (SELECT enterprise_id
              FROM deliveries
             WHERE enterprise_id > known.enterprise_id
             ORDER BY enterprise_id
             LIMIT 1)
      FROM known
     WHERE enterprise_id IS NOT NULL
)
SELECT enterprise_id FROM known WHERE enterprise_id IS NOT NULL

-- with_requests --
-- The same of requests to CRMs, by enterprise_id.
WITH RECURSIVE known AS (
    (SELECT enterprise_id FROM crm_requests ORDER BY enterprise_id LIMIT 1)
     UNION ALL
    SELECT (SELECT enterprise_id
              FROM crm_requests
             WHERE enterprise_id > known.enterprise_id
             ORDER BY enterprise_id
             LIMIT 1)
      FROM known
     WHERE enterprise_id IS NOT NULL
)
SELECT enterprise_id FROM known WHERE enterprise_id IS NOT NULL

-- with_audit --
-- The same of the audit, by enterprise_id.
WITH RECURSIVE known AS (
    (SELECT enterprise_id FROM audit ORDER BY enterprise_id LIMIT 1)
     UNION ALL
    SELECT (SELECT enterprise_id
              FROM audit
             WHERE enterprise_id > known.enterprise_id
             ORDER BY enterprise_id
             LIMIT 1)
      FROM known
     WHERE enterprise_id IS NOT NULL
)
SELECT enterprise_id FROM known WHERE enterprise_id IS NOT NULL

-- forget_deliveries --
-- A piece of the deliveries of an enterprise, in the order of their key and so of time: those that were settled before
-- a time are deleted, and none that is due or parked, whatever happens to it meanwhile.
WITH piece AS (
    SELECT id, created_at
      FROM deliveries
     WHERE enterprise_id = $1 AND id > $2
     ORDER BY id
     LIMIT $4
), gone AS (
    DELETE FROM deliveries
     WHERE enterprise_id = $1 AND id = ANY (ARRAY(SELECT id FROM piece))
       AND status IN ('sent', 'dropped') AND settled_at < $3
    RETURNING id
)
SELECT max(id) AS last, (SELECT count(*) FROM gone) AS gone, coalesce(min(created_at) < $3, false) AS old
  FROM piece

-- forget_requests --
-- A piece of the requests of an enterprise, in the order in which they were made: those from before a time are deleted.
WITH piece AS (
    SELECT id, at
      FROM crm_requests
     WHERE enterprise_id = $1 AND id > $2
     ORDER BY id
     LIMIT $4
), gone AS (
    DELETE FROM crm_requests
     WHERE enterprise_id = $1 AND id = ANY (ARRAY(SELECT id FROM piece)) AND at < $3
    RETURNING enterprise_id, id, calls
), told AS (
    SELECT enterprise_id, id, unnest(calls) AS call_id
      FROM gone
), gone_of_calls AS (
    DELETE FROM crm_requests_of_calls
     USING told
     WHERE crm_requests_of_calls.enterprise_id = told.enterprise_id
       AND crm_requests_of_calls.call_id = told.call_id AND crm_requests_of_calls.request_id = told.id
)
SELECT max(id) AS last, (SELECT count(*) FROM gone) AS gone, coalesce(min(at) < $3, false) AS old
  FROM piece

-- forget_audit --
-- A piece of the audit of an enterprise, in the order in which it was written: rows from before a time are deleted.
WITH piece AS (
    SELECT id, at
      FROM audit
     WHERE enterprise_id = $1 AND id > $2
     ORDER BY id
     LIMIT $4
), gone AS (
    DELETE FROM audit
     WHERE enterprise_id = $1 AND id = ANY (ARRAY(SELECT id FROM piece)) AND at < $3
    RETURNING id
)
SELECT max(id) AS last, (SELECT count(*) FROM gone) AS gone, coalesce(min(at) < $3, false) AS old
  FROM piece

-- with_follow_ups --
-- The same of what was made in CRMs for missed calls, by enterprise_id.
WITH RECURSIVE known AS (
    (SELECT enterprise_id FROM follow_ups ORDER BY enterprise_id LIMIT 1)
     UNION ALL
    SELECT (SELECT enterprise_id
              FROM follow_ups
             WHERE enterprise_id > known.enterprise_id
             ORDER BY enterprise_id
             LIMIT 1)
      FROM known
     WHERE enterprise_id IS NOT NULL
)
SELECT enterprise_id FROM known WHERE enterprise_id IS NOT NULL

-- with_operator_statuses --
-- The same of how operators stand: of each enterprise_id a row for each of its users, so a few in all.
SELECT DISTINCT enterprise_id FROM operator_statuses

-- forget_follow_ups --
-- A piece of what is over of an enterprise's follow-ups, by an index of its own: those closed before a time are deleted,
-- and none that is open. While a piece is full there may be another, from the beginning ($2).
WITH gone AS (
    DELETE FROM follow_ups
     WHERE enterprise_id = $1
       AND call_id = ANY (ARRAY(SELECT call_id
                                  FROM follow_ups
                                 WHERE enterprise_id = $1 AND closed_at < $3
                                 ORDER BY closed_at
                                 LIMIT $4))
       AND closed_at < $3
    RETURNING call_id
)
SELECT $2::bigint AS last, count(*) AS gone, count(*) = $4 AS old
  FROM gone

-- forget_operator_statuses --
-- The same of how operators of an enterprise stand: what was told before a time means nothing any more.
WITH gone AS (
    DELETE FROM operator_statuses
     WHERE enterprise_id = $1
       AND crm_user = ANY (ARRAY(SELECT crm_user
                                   FROM operator_statuses
                                  WHERE enterprise_id = $1 AND told_at < $3
                                  LIMIT $4))
       AND told_at < $3
    RETURNING crm_user
)
SELECT $2::bigint AS last, count(*) AS gone, count(*) = $4 AS old
  FROM gone
