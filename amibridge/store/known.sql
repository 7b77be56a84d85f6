-- customer_of_phone --
-- Whose phone that is in the CRM: whom a call has found before others, then who ordered last, then the newest.
SELECT customers.customer_id, customers.name, customers.site, customers.manager_id, customers.vip
  FROM crm_customers AS customers
 WHERE customers.enterprise_id = $1 AND customers.deleted_at IS NULL
   AND customers.customer_id IN (SELECT customer_id FROM crm_phones WHERE enterprise_id = $1 AND phone = $2
                                 UNION
                                 SELECT retailcrm_customer_id FROM retailcrm_customers
                                  WHERE enterprise_id = $1 AND phone = $2)
 ORDER BY EXISTS (SELECT FROM retailcrm_customers AS links
                   WHERE links.enterprise_id = customers.enterprise_id AND links.phone = $2
                     AND links.retailcrm_customer_id = customers.customer_id) DESC,
          (SELECT max(orders.created_at) FROM crm_orders AS orders
            WHERE orders.enterprise_id = customers.enterprise_id
              AND orders.customer_id = customers.customer_id) DESC NULLS LAST,
          customers.customer_id DESC
 LIMIT 1

-- orders_of_customer --
-- What somebody ordered in a time, in order.
SELECT order_id, number, external_id, site, customer_id, company_id, phone, manager_id, status, status_group, total,
       currency, order_method, created_at, status_changed_at, paid_at
  FROM crm_orders
 WHERE enterprise_id = $1 AND customer_id = $2 AND created_at >= $3 AND created_at < $4 AND deleted_at IS NULL
 ORDER BY created_at, order_id

-- last_operators --
-- Who talked with somebody in his last call that was answered.
SELECT operators
  FROM calls
 WHERE enterprise_id = $1 AND phone = $2 AND started_at > $3 AND operators <> '{}'
 ORDER BY started_at DESC
 LIMIT 1
