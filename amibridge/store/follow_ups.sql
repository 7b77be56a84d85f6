-- open_follow_up --
-- What is open in the CRM about somebody who was missed.
SELECT call_id, kind, account, site, mark, missed_at, crm_id, crm_status
  FROM follow_ups
 WHERE enterprise_id = $1 AND phone = $2 AND closed_at IS NULL

-- begin_follow_up --
-- We are about to ask the CRM for one. No row: that call had one already, or his phone has one open.
INSERT INTO follow_ups (enterprise_id, call_id, phone, kind, account, site, mark, missed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT DO NOTHING
RETURNING call_id

-- follow_up_made --
-- The CRM has made it, under that id.
UPDATE follow_ups
   SET crm_id = $3, crm_status = $4
 WHERE enterprise_id = $1 AND call_id = $2 AND closed_at IS NULL

-- follow_up_not_made --
-- The CRM has not made it: as if nobody had asked.
DELETE FROM follow_ups
 WHERE enterprise_id = $1 AND call_id = $2 AND crm_id IS NULL

-- missed_again --
-- He called once more while it is open: whoever is reached after that ends it.
UPDATE follow_ups
   SET missed_at = greatest(missed_at, $3)
 WHERE enterprise_id = $1 AND call_id = $2 AND closed_at IS NULL

-- close_follow_up --
-- It is over, and how.
UPDATE follow_ups
   SET closed_at = $3, ending = $4
 WHERE enterprise_id = $1 AND call_id = $2 AND closed_at IS NULL

-- reached_since --
-- Whether anybody talked with him after that moment, whoever called whom.
SELECT EXISTS (SELECT FROM calls
                WHERE enterprise_id = $1 AND phone = $2 AND outcome = 'answered' AND direction <> 'internal'
                  AND answered_at > $3)

-- on_the_line --
-- Whether a call with him goes on that began after that moment.
SELECT EXISTS (SELECT FROM live_calls
                WHERE enterprise_id = $1 AND body #>> '{brief,phone}' = $2 AND started_at > $3)
