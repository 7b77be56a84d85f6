"""The side server: what RetailCRM, load balancers and people ask of us over HTTP."""
