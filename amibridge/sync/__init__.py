"""RetailCRM → PostgreSQL: customers and orders, followed by the CRM's histories; hints only make it quicker."""
