-- accounts_followed --
-- Whose histories the cursors of an enterprise stand in, locked: two beginnings must not cross.
SELECT history, account
  FROM crm_cursors
 WHERE enterprise_id = $1
   FOR UPDATE

-- account_followed --
-- In whose histories the cursors of an enterprise stand.
SELECT account FROM crm_cursors WHERE enterprise_id = $1 LIMIT 1

-- forget_cursors --
-- Another account has other histories.
DELETE FROM crm_cursors WHERE enterprise_id = $1

-- forget_customers --
-- Another account has other customers by the same numbers.
DELETE FROM crm_customers WHERE enterprise_id = $1

-- forget_phones --
-- The same of their phones.
DELETE FROM crm_phones WHERE enterprise_id = $1

-- forget_orders --
-- The same of orders.
DELETE FROM crm_orders WHERE enterprise_id = $1

-- forget_links --
-- The same of customers whom calls have found.
DELETE FROM retailcrm_customers WHERE enterprise_id = $1

-- begin --
-- Follow a history from a time on, unless it is followed already.
INSERT INTO crm_cursors (enterprise_id, history, account, started_at, moved_at)
VALUES ($1, $2, $3, $4, $4)
    ON CONFLICT (enterprise_id, history) DO NOTHING

-- cursor --
-- Where to go on in a history.
SELECT started_at, since_id, backfilled_from
  FROM crm_cursors
 WHERE enterprise_id = $1 AND history = $2

-- move_cursor --
-- The first statement of every write: no row when somebody else has moved on ($4 is where we were, $5 where we are) or
-- when the account is another one by now. A NULL leaves a column as it is.
UPDATE crm_cursors
   SET since_id = coalesce($5, since_id), backfilled_from = least($6::date, backfilled_from), moved_at = $7
 WHERE enterprise_id = $1 AND history = $2 AND account = $3
   AND ($5::bigint IS NULL OR since_id IS NOT DISTINCT FROM $4::bigint)
RETURNING enterprise_id

-- put_customers --
-- Customers as the CRM has just told them.
INSERT INTO crm_customers (enterprise_id, customer_id, external_id, name, site, manager_id, is_contact, vip, created_at,
                           seen_at)
SELECT $1, seen.*, $2
  FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::boolean[], $9::boolean[],
              $10::timestamptz[]) AS seen
    ON CONFLICT (enterprise_id, customer_id) DO UPDATE
   SET external_id = excluded.external_id, name = excluded.name, site = excluded.site,
       manager_id = excluded.manager_id, is_contact = excluded.is_contact, vip = excluded.vip,
       created_at = excluded.created_at, seen_at = excluded.seen_at, deleted_at = NULL, merged_into = NULL

-- put_absent --
-- Customers who are spoken of and whom the CRM does not have: they are not asked for again.
INSERT INTO crm_customers (enterprise_id, customer_id, name, is_contact, vip, deleted_at, seen_at)
SELECT $1, absent, '', false, false, $2, $2
  FROM unnest($3::bigint[]) AS absent
    ON CONFLICT (enterprise_id, customer_id) DO NOTHING

-- drop_phones --
-- The phones that customers had.
DELETE FROM crm_phones WHERE enterprise_id = $1 AND customer_id = ANY ($2::bigint[])

-- put_phones --
-- The phones that customers have.
INSERT INTO crm_phones (enterprise_id, customer_id, phone)
SELECT $1, seen.*
  FROM unnest($2::bigint[], $3::text[]) AS seen
    ON CONFLICT (enterprise_id, phone, customer_id) DO NOTHING

-- release_links --
-- Calls lead no more to customers ($3) for phones that were taken from them before $2.
DELETE FROM retailcrm_customers AS link
 WHERE enterprise_id = $1 AND retailcrm_customer_id = ANY ($3::bigint[]) AND updated_at < $2
   AND NOT EXISTS (SELECT FROM crm_phones AS theirs
                    WHERE theirs.enterprise_id = link.enterprise_id AND theirs.phone = link.phone
                      AND theirs.customer_id = link.retailcrm_customer_id)

-- delete_customers --
-- Customers who are in the CRM no more.
UPDATE crm_customers
   SET deleted_at = coalesce(deleted_at, $2), seen_at = $2
 WHERE enterprise_id = $1 AND customer_id = ANY ($3::bigint[])

-- merge_customer --
-- One customer became a part of another.
UPDATE crm_customers
   SET deleted_at = coalesce(deleted_at, $2), merged_into = $4, seen_at = $2
 WHERE enterprise_id = $1 AND customer_id = $3

-- give_orders --
-- The orders of somebody who became a part of another.
UPDATE crm_orders
   SET customer_id = $3
 WHERE enterprise_id = $1 AND customer_id = $2

-- put_orders --
-- Orders as the CRM has just told them.
INSERT INTO crm_orders (enterprise_id, order_id, number, external_id, site, customer_id, company_id, phone, manager_id,
                        status, status_group, total, currency, order_method, created_at, status_changed_at, paid_at,
                        seen_at)
SELECT $1, seen.*, $2
  FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::text[], $10::bigint[],
              $11::text[], $12::text[], $13::numeric[], $14::text[], $15::text[], $16::timestamptz[],
              $17::timestamptz[], $18::timestamptz[]) AS seen
    ON CONFLICT (enterprise_id, order_id) DO UPDATE
   SET number = excluded.number, external_id = excluded.external_id, site = excluded.site,
       customer_id = excluded.customer_id, company_id = excluded.company_id, phone = excluded.phone,
       manager_id = excluded.manager_id, status = excluded.status, status_group = excluded.status_group,
       total = excluded.total, currency = excluded.currency, order_method = excluded.order_method,
       created_at = excluded.created_at, status_changed_at = excluded.status_changed_at,
       paid_at = excluded.paid_at, seen_at = excluded.seen_at, deleted_at = NULL

-- delete_orders --
-- Orders that are in the CRM no more.
UPDATE crm_orders
   SET deleted_at = coalesce(deleted_at, $2), seen_at = $2
 WHERE enterprise_id = $1 AND order_id = ANY ($3::bigint[])

-- regroup_orders --
-- The account's dictionary of statuses ($2 their codes, $3 their groups) is another one: orders follow it.
UPDATE crm_orders
   SET status_group = ($3::text[])[array_position($2::text[], status)]
 WHERE enterprise_id = $1
   AND status_group IS DISTINCT FROM ($3::text[])[array_position($2::text[], status)]

-- known_customers --
-- Those of some customers that we have.
SELECT customer_id AS id
  FROM crm_customers
 WHERE enterprise_id = $1 AND customer_id = ANY ($2::bigint[])

-- known_orders --
-- Those of some orders that we have.
SELECT order_id AS id
  FROM crm_orders
 WHERE enterprise_id = $1 AND order_id = ANY ($2::bigint[])

-- strangers --
-- Customers of whom orders and calls speak, and whose names we do not know.
SELECT customer_id
  FROM (SELECT enterprise_id, customer_id FROM crm_orders
         WHERE enterprise_id = $1 AND customer_id IS NOT NULL
        UNION
        SELECT enterprise_id, retailcrm_customer_id FROM retailcrm_customers WHERE enterprise_id = $1) AS spoken_of
 WHERE NOT EXISTS (SELECT FROM crm_customers AS known
                    WHERE known.enterprise_id = spoken_of.enterprise_id
                      AND known.customer_id = spoken_of.customer_id)
 LIMIT $2
