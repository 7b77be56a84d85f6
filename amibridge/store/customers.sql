-- customer_of_phone --
-- Whose phone that is in the CRM, as far as we have asked.
SELECT retailcrm_customer_id
  FROM retailcrm_customers
 WHERE enterprise_id = $1 AND phone = $2

-- link_customer --
-- Remember whose phone that is; nothing is written when we knew.
INSERT INTO retailcrm_customers (enterprise_id, phone, retailcrm_customer_id, made_for)
VALUES ($1, $2, $3, $4)
    ON CONFLICT (enterprise_id, phone) DO UPDATE
   SET retailcrm_customer_id = excluded.retailcrm_customer_id, made_for = excluded.made_for, updated_at = now()
 WHERE retailcrm_customers.retailcrm_customer_id <> excluded.retailcrm_customer_id

-- customer_made_for --
-- For which call the customer with that phone was made by us, NULL if he was there.
SELECT made_for
  FROM retailcrm_customers
 WHERE enterprise_id = $1 AND phone = $2

-- merge_customers --
-- All phones of one customer are another's from now on.
UPDATE retailcrm_customers
   SET retailcrm_customer_id = $3, updated_at = now()
 WHERE enterprise_id = $1 AND retailcrm_customer_id = $2

-- forget_customer --
-- A customer whom the CRM does not know any more.
DELETE FROM retailcrm_customers
 WHERE enterprise_id = $1 AND retailcrm_customer_id = $2
