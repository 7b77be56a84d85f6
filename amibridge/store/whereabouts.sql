-- host_of_extension --
-- On which host of an enterprise an operator called, rang or talked last, since a time.
SELECT host
  FROM calls
 WHERE enterprise_id = $1 AND started_at >= $3 AND (caller = $2 OR $2 = ANY (rang) OR $2 = ANY (operators))
 ORDER BY started_at DESC
 LIMIT 1
