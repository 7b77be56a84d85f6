"""RetailCRM's language: what a request says (`render`), its verbs (`requests`, `responses`) and the wire (`client`).

RetailCRM's names stay in this package. Everything but `client` and `limits` is a pure function of its arguments,
and `limits` is given the time.
"""
