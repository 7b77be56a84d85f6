-- host_of_extension --
-- On which host of an enterprise an operator called, rang or talked last, since a time.
SELECT calls.host
  FROM call_extensions AS part
  JOIN calls ON calls.enterprise_id = part.enterprise_id AND calls.call_id = part.call_id
 WHERE part.enterprise_id = $1 AND part.extension = $2 AND part.started_at >= $3
 ORDER BY part.started_at DESC
 LIMIT 1
