-- deliveries_of_state --
-- A page of an enterprise's deliveries, the newest first: made since $2, and before ($3, $4) in the order of the page.
-- Of any of the statuses $6 and the kinds $7: a few from each of their heaps, and the newest of those.
SELECT page.enterprise_id, page.id, page.host, page.call_id, page.fact_key, page.kind::text, page.webhook, page.status::text,
       page.attempts, page.due_at, page.fresh_until, page.last_answer, page.created_at, page.settled_at
  FROM unnest($6::text[]) AS wanted (status), unnest($7::text[]) AS meant (kind), LATERAL (
       SELECT deliveries.*
         FROM deliveries
        WHERE deliveries.enterprise_id = $1 AND deliveries.status = wanted.status::delivery_status
          AND deliveries.kind = meant.kind::delivery_kind
          AND deliveries.created_at >= $2 AND deliveries.created_at <= $3
          AND (deliveries.created_at, deliveries.id) < ($3, $4)
        ORDER BY deliveries.created_at DESC, deliveries.id DESC
        LIMIT $5) AS page
 ORDER BY page.created_at DESC, page.id DESC
 LIMIT $5

-- deliveries_of_state_of_call --
-- The same of one call ($8).
SELECT enterprise_id, id, host, call_id, fact_key, kind::text, webhook, status::text, attempts, due_at, fresh_until,
       last_answer, created_at, settled_at
  FROM deliveries
 WHERE enterprise_id = $1 AND call_id = $8 AND status::text = ANY ($6::text[]) AND kind::text = ANY ($7::text[])
   AND created_at >= $2 AND (created_at, id) < ($3, $4)
 ORDER BY created_at DESC, id DESC
 LIMIT $5

-- requests_of_call --
-- What was asked of the CRM about one call, in the order in which it was asked, behind the request $3.
SELECT crm_requests.*
  FROM crm_requests_of_calls AS told
  JOIN crm_requests ON crm_requests.enterprise_id = told.enterprise_id AND crm_requests.id = told.request_id
 WHERE told.enterprise_id = $1 AND told.call_id = $2 AND told.request_id > $3
 ORDER BY told.request_id
 LIMIT $4
