-- record_requests --
-- Requests to the CRMs of any enterprise_id, in the order in which they were made, each found by the calls it told of.
WITH made AS (
    INSERT INTO crm_requests (enterprise_id, at, verb, address, calls, deliveries, attempt, http_status, took, failure,
                              verdict, next_attempt_at, request, answer)
    SELECT enterprise_id, at, verb, address, calls, deliveries, attempt, http_status, make_interval(secs => took),
           failure, verdict, next_attempt_at, request, answer
      FROM json_to_recordset($1::json) AS r (
               ordinal int, enterprise_id text, at timestamptz, verb text, address text, calls text[],
               deliveries bigint[], attempt int, http_status int, took double precision, failure text, verdict text,
               next_attempt_at timestamptz, request text, answer text)
     ORDER BY ordinal
    RETURNING enterprise_id, id, calls
)
INSERT INTO crm_requests_of_calls (enterprise_id, call_id, request_id)
SELECT DISTINCT enterprise_id, unnest(calls), id
  FROM made

-- requests_of_calls --
-- What was asked of the CRM about some calls of one enterprise, in the order in which it was asked.
SELECT crm_requests.*
  FROM crm_requests
 WHERE crm_requests.enterprise_id = $1
   AND crm_requests.id IN (SELECT request_id
                             FROM crm_requests_of_calls
                            WHERE enterprise_id = $1 AND call_id = ANY ($2::text[]))
 ORDER BY crm_requests.id

-- newest_requests --
-- What was asked of the CRM of one enterprise lately, the newest first.
SELECT *
  FROM crm_requests
 WHERE enterprise_id = $1
 ORDER BY id DESC
 LIMIT $2
